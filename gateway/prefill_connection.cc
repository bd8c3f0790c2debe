#include "gateway/prefill_connection.h"

#include <utility>

#include "gateway/media_upload.h"
#include "gateway/sequence_proto.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

// Messages to one worker that may wait for its socket.
constexpr size_t kOutgoingMax = 4096;

}  // namespace

// The receiving half of one Attach stream; owned by it.
class PrefillConnection::Handler final : public StreamHandler<cluster::v1::PrefillToGateway> {
 public:
  Handler(std::shared_ptr<PrefillConnection> connection, uint64_t session)
      : connection_(std::move(connection)), session_(session) {}
  void OnMessage(cluster::v1::PrefillToGateway& message) override {
    connection_->OnMessage(message);
  }
  void OnClosed(const absl::Status& status) override {
    connection_->AttachClosed(session_, status);
  }

 private:
  const std::shared_ptr<PrefillConnection> connection_;
  const uint64_t session_;
};

PrefillConnection::PrefillConnection(std::string address, ConnectionContext context)
    : WorkerConnection(std::move(address), cluster::v1::WORKER_ROLE_PREFILL, std::move(context)),
      stub_(cluster::v1::Prefill::NewStub(channel())),
      media_stub_(cluster::v1::Prefill::NewStub(OpenChannel(this->address(), options()))) {}

void PrefillConnection::OpenAttach(uint64_t session) {
  auto sender = std::make_shared<Sender>(kOutgoingMax);
  {
    MutexLock lock(sender_mutex_);
    sender_ = sender;
  }
  auto self = std::static_pointer_cast<PrefillConnection>(shared_from_this());
  using Stream = ClientBidiStream<cluster::v1::PrefillToGateway, cluster::v1::GatewayToPrefill>;
  Stream::Open(std::move(sender), std::make_unique<Handler>(std::move(self), session),
               [this](grpc::ClientContext* context, auto* reactor) {
                 stub_->async()->Attach(context, reactor);
               });
}

void PrefillConnection::CloseAttach() {
  std::shared_ptr<Sender> closing;
  {
    MutexLock lock(sender_mutex_);
    closing.swap(sender_);
  }
  if (closing != nullptr) closing->Close();
}

std::shared_ptr<PrefillConnection::Sender> PrefillConnection::sender() const {
  MutexLock lock(sender_mutex_);
  return sender_;
}

void PrefillConnection::PutMedia(const MediaItem& item, absl::Duration time_left,
                                 std::function<void(absl::Status)> done) {
  StartMediaUpload(*media_stub_, item, time_left, std::move(done));
}

bool PrefillConnection::Run(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                            absl::Duration time_left, uint64_t ticket,
                            const std::string& decode_address,
                            std::shared_ptr<WorkerEvents> events) {
  const std::shared_ptr<Sender> out = sender();
  const auto tokens = static_cast<int64_t>(order.prompt_ids.size());
  if (out == nullptr || !Hold(request, {std::move(events), tokens})) return false;
  cluster::v1::GatewayToPrefill message;
  cluster::v1::RunPrefill& run = *message.mutable_run();
  run.set_request(static_cast<uint64_t>(request));
  run.set_epoch(epoch);
  *run.mutable_sequence() = ToProto(order, time_left);
  run.set_ticket(ticket);
  run.set_decode_address(decode_address);
  if (out->Send(std::move(message))) return true;
  LetGo(request);
  return false;
}

void PrefillConnection::Cancel(RequestNumber request, const std::string& reason) {
  LetGo(request);
  const std::shared_ptr<Sender> out = sender();
  if (out == nullptr) return;
  cluster::v1::GatewayToPrefill message;
  message.mutable_cancel()->set_request(static_cast<uint64_t>(request));
  message.mutable_cancel()->set_reason(reason);
  out->Send(std::move(message));  // a stream that is closed has cancelled everything already
}

void PrefillConnection::OnMessage(const cluster::v1::PrefillToGateway& message) {
  if (message.has_first_token()) {
    const cluster::v1::FirstToken& token = message.first_token();
    const auto events = Find(RequestNumber{token.request()});
    if (events == nullptr) return;  // ended here; its cancel is on the way
    events->OnFirstToken(token.id(), FromProto(token.finish()), FromProto(token.timings()));
  } else if (message.has_ended()) {
    const cluster::v1::PrefillEnded& ended = message.ended();
    const auto events = Find(RequestNumber{ended.request()});
    if (events == nullptr) return;
    LetGo(RequestNumber{ended.request()});
    events->OnPrefillEnded(ended.epoch(), cleave::FromProto(ended.status()));
  }
}

}  // namespace cleave
