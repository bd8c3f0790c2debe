#include "runtime/link/grpc_link_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "runtime/base/check.h"
#include "runtime/link/grpc_sender_call.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

class GrpcSenderTransport final : public SenderTransport {
 public:
  explicit GrpcSenderTransport(std::shared_ptr<GrpcSenderCall> call) : call_(std::move(call)) {}
  void Send(PrefillToDecode message) override { call_->Send(std::move(message)); }
  void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) override {
    call_->SendFrame(header, pages);
  }
  void Close(const absl::Status&) override { call_->Close(); }

 private:
  std::shared_ptr<GrpcSenderCall> call_;  // shared with gRPC's callbacks and their tasks
};

// A connection for each link, which knows nothing of the failures of the one before.
grpc::ChannelArguments LinkChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // retries would keep copies of frames
  arguments.SetMaxSendMessageSize(-1);           // the decode worker's frame limit holds
  return arguments;
}

}  // namespace

class GrpcLinkClient::Dialer final : public LinkDialer {
 public:
  Dialer(LinkThread& thread, std::shared_ptr<grpc::ChannelCredentials> credentials)
      : thread_(thread), credentials_(std::move(credentials)) {}

  std::unique_ptr<SenderTransport> Dial(const std::string& address, KvSender& sender) override {
    const std::shared_ptr<grpc::Channel> channel =
        grpc::CreateCustomChannel(address, credentials_, LinkChannelArguments());
    return std::make_unique<GrpcSenderTransport>(
        std::make_shared<GrpcSenderCall>(kvlink::v1::KvLink::NewStub(channel), thread_, sender));
  }

 private:
  LinkThread& thread_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;  // shared by all channels
};

GrpcLinkClient::GrpcLinkClient(const SenderLinksOptions& options,
                               std::shared_ptr<grpc::ChannelCredentials> credentials,
                               SenderListener& listener, const Clock& clock, LinkObserver* observer)
    : listener_(listener),
      thread_(clock),
      dialer_(std::make_unique<Dialer>(thread_, std::move(credentials))),
      links_(options, *dialer_, listener, clock, observer) {
  thread_.Start(links_);
}

GrpcLinkClient::~GrpcLinkClient() { Shutdown(); }

void GrpcLinkClient::Connect(const std::string& address) {
  thread_.Post([this, address] { links_.Connect(address); });
}

void GrpcLinkClient::Begin(const std::string& address, const TransferSpec& spec) {
  const bool posted = thread_.Post([this, address, spec] { links_.Begin(address, spec); });
  if (posted) return;
  listener_.OnFinished(spec.id, LinkError(Reason::kDraining, "the prefill worker is stopping"));
}

void GrpcLinkClient::QueueFrame(TransferId transfer, const FrameSlice& slice,
                                std::vector<PageBytes> pages, std::function<void()> release) {
  const bool posted = thread_.Post([this, transfer, slice, pages = std::move(pages), release] {
    links_.QueueFrame(transfer, slice, pages, release);
  });
  // Copied above, since a task that is not taken must not lose it.
  if (!posted) std::exchange(release, nullptr)();
}

void GrpcLinkClient::Commit(TransferId transfer, CommitPayload payload) {
  thread_.Post([this, transfer, payload = std::move(payload)]() mutable {
    links_.Commit(transfer, std::move(payload));
  });
}

void GrpcLinkClient::Cancel(TransferId transfer, Reason reason) {
  thread_.Post([this, transfer, reason] { links_.Cancel(transfer, reason); });
}

void GrpcLinkClient::Shutdown() {
  thread_.Post([this] { links_.Shutdown(); });
  thread_.Join();
}

}  // namespace cleave
