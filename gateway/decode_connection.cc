#include "gateway/decode_connection.h"

#include <optional>
#include <utility>
#include <vector>

#include "gateway/sequence_proto.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

// Messages to one worker that may wait for its socket.
constexpr size_t kOutgoingMax = 4096;

}  // namespace

// The receiving half of one Attach stream; owned by it.
class DecodeConnection::Handler final : public StreamHandler<cluster::v1::DecodeToGateway> {
 public:
  Handler(std::shared_ptr<DecodeConnection> connection, uint64_t session)
      : connection_(std::move(connection)), session_(session) {}
  void OnMessage(cluster::v1::DecodeToGateway& message) override {
    connection_->OnMessage(message);
  }
  void OnClosed(const absl::Status& status) override {
    connection_->AttachClosed(session_, status);
  }

 private:
  const std::shared_ptr<DecodeConnection> connection_;
  const uint64_t session_;
};

DecodeConnection::DecodeConnection(std::string address, ConnectionContext context)
    : WorkerConnection(std::move(address), cluster::v1::WORKER_ROLE_DECODE, std::move(context)),
      stub_(cluster::v1::Decode::NewStub(channel())) {}

void DecodeConnection::OpenAttach(uint64_t session) {
  auto sender = std::make_shared<Sender>(kOutgoingMax);
  {
    MutexLock lock(sender_mutex_);
    sender_ = sender;
  }
  auto self = std::static_pointer_cast<DecodeConnection>(shared_from_this());
  using Stream = ClientBidiStream<cluster::v1::DecodeToGateway, cluster::v1::GatewayToDecode>;
  Stream::Open(std::move(sender), std::make_unique<Handler>(std::move(self), session),
               [this](grpc::ClientContext* context, auto* reactor) {
                 stub_->async()->Attach(context, reactor);
               });
}

void DecodeConnection::CloseAttach() {
  std::shared_ptr<Sender> closing;
  {
    MutexLock lock(sender_mutex_);
    closing.swap(sender_);
  }
  if (closing != nullptr) closing->Close();
}

std::shared_ptr<DecodeConnection::Sender> DecodeConnection::sender() const {
  MutexLock lock(sender_mutex_);
  return sender_;
}

bool DecodeConnection::Expect(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                              absl::Duration time_left, std::shared_ptr<WorkerEvents> events) {
  const std::shared_ptr<Sender> out = sender();
  const auto tokens = static_cast<int64_t>(order.prompt_ids.size());
  if (out == nullptr || !Hold(request, {std::move(events), tokens})) return false;
  cluster::v1::GatewayToDecode message;
  cluster::v1::ExpectSequence& expect = *message.mutable_expect();
  expect.set_request(static_cast<uint64_t>(request));
  expect.set_epoch(epoch);
  *expect.mutable_sequence() = ToProto(order, time_left);
  if (out->Send(std::move(message))) return true;
  LetGo(request);
  return false;
}

void DecodeConnection::Cancel(RequestNumber request, const std::string& reason) {
  LetGo(request);
  const std::shared_ptr<Sender> out = sender();
  if (out == nullptr) return;
  cluster::v1::GatewayToDecode message;
  message.mutable_cancel()->set_request(static_cast<uint64_t>(request));
  message.mutable_cancel()->set_reason(reason);
  out->Send(std::move(message));  // a stream that is closed has cancelled everything already
}

void DecodeConnection::OnMessage(const cluster::v1::DecodeToGateway& message) {
  if (message.has_step()) {
    OnStep(message.step());
  } else if (message.has_ticket()) {
    const auto events = Find(RequestNumber{message.ticket().request()});
    if (events != nullptr) events->OnTicket(message.ticket().ticket());
  } else if (message.has_ended()) {
    const cluster::v1::SequenceEnded& ended = message.ended();
    const auto events = Find(RequestNumber{ended.request()});
    if (events == nullptr) return;  // ended here; its cancel is on the way
    LetGo(RequestNumber{ended.request()});
    events->OnDecodeEnded(ended.epoch(), cleave::FromProto(ended.status()));
  }
}

void DecodeConnection::OnStep(const cluster::v1::StepTokens& step) {
  for (const cluster::v1::SequenceTokens& sequence : step.sequences()) {
    const auto events = Find(RequestNumber{sequence.request()});
    if (events == nullptr) continue;
    std::optional<DecodePhases> phases;
    if (sequence.has_timings()) phases = FromProto(sequence.timings());
    events->OnStepTokens(sequence.first_index(), {sequence.ids().begin(), sequence.ids().end()},
                         FromProto(sequence.finish()), phases);
  }
}

}  // namespace cleave
