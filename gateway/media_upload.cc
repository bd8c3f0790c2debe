#include "gateway/media_upload.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <memory>
#include <string>
#include <utility>

#include "runtime/rpc/deadline.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

// Deletes itself when the call is over.
class MediaUpload final : public grpc::ClientWriteReactor<cluster::v1::MediaPiece> {
 public:
  MediaUpload(std::shared_ptr<OpenCalls> calls, const MediaItem& item, absl::Duration time_left,
              std::function<void(absl::Status)> done)
      : call_(std::move(calls)), bytes_(item.bytes), done_(std::move(done)) {
    context_.set_deadline(GrpcDeadline(time_left));
    piece_.set_content_hash(item.content_hash);
    piece_.set_total_bytes(bytes_->size());
  }

  void Begin(cluster::v1::Prefill::Stub& stub) {
    call_.Bind(context_);
    stub.async()->PutMedia(&context_, &response_, this);
    WritePiece();
    StartCall();
  }

 private:
  void WritePiece() {
    piece_.set_data(bytes_->substr(sent_, kPieceBytes));
    sent_ += piece_.data().size();
    grpc::WriteOptions options;
    if (sent_ == bytes_->size()) options.set_last_message();
    StartWrite(&piece_, options);
  }
  void OnWriteDone(bool ok) override {
    if (!ok || sent_ == bytes_->size()) return;  // refused, which OnDone tells; or all is sent
    piece_.Clear();
    WritePiece();
  }
  void OnDone(const grpc::Status& status) override {
    call_.Unbind();
    done_(FromGrpc(status));
    delete this;
  }

  OpenCall call_;                                   // first: destroyed last
  const std::shared_ptr<const std::string> bytes_;  // shared with the request
  const std::function<void(absl::Status)> done_;
  grpc::ClientContext context_;
  cluster::v1::MediaPiece piece_;
  cluster::v1::PutMediaResponse response_;
  size_t sent_ = 0;
};

}  // namespace

void StartMediaUpload(cluster::v1::Prefill::Stub& stub, std::shared_ptr<OpenCalls> calls,
                      const MediaItem& item, absl::Duration time_left,
                      std::function<void(absl::Status)> done) {
  (new MediaUpload(std::move(calls), item, time_left, std::move(done)))->Begin(stub);
}

}  // namespace cleave
