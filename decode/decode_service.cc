#include "decode/decode_service.h"

#include <algorithm>
#include <utility>

#include "engine/sequence_proto.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

using cluster::v1::DecodeToGateway;
using cluster::v1::GatewayToDecode;

// Step messages of one attachment that may wait for the gateway to read.
constexpr size_t kMessagesQueuedMax = 4096;

// The engine's answers as messages on one attachment.
class StreamReplies final : public DecodeReplies {
 public:
  explicit StreamReplies(std::shared_ptr<StreamSender<DecodeToGateway>> sender)
      : sender_(std::move(sender)) {}

  void OnTicket(RequestKey key, TransferId transfer) override {
    DecodeToGateway message;
    message.mutable_ticket()->set_request(key.request);
    message.mutable_ticket()->set_epoch(static_cast<uint32_t>(transfer.epoch));
    message.mutable_ticket()->set_ticket(static_cast<uint64_t>(transfer.ticket));
    sender_->Send(std::move(message));
  }

  void OnStep(absl::Span<const StepTokens> sequences) override {
    DecodeToGateway message;
    for (const StepTokens& step : sequences) {
      cluster::v1::SequenceTokens& tokens = *message.mutable_step()->add_sequences();
      tokens.set_request(step.key.request);
      tokens.set_epoch(static_cast<uint32_t>(step.epoch));
      tokens.set_candidate(static_cast<uint32_t>(step.candidate));
      tokens.set_first_index(static_cast<uint32_t>(step.first_index));
      tokens.mutable_ids()->Add(step.tokens.begin(), step.tokens.end());
      for (const PlaceLogProbabilities& place : step.log_probabilities) {
        *tokens.add_log_probabilities() = ToProto(place);
      }
      tokens.set_finish(FinishToProto(step.finish));
      if (step.finish == FinishCause::kNone) continue;
      tokens.mutable_timings()->set_handover_seconds(absl::ToDoubleSeconds(step.timings.handover));
      tokens.mutable_timings()->set_decode_seconds(absl::ToDoubleSeconds(step.timings.decode));
    }
    sender_->Send(std::move(message));
  }

  void OnEnded(RequestKey key, RequestEpoch epoch, const absl::Status& status) override {
    DecodeToGateway message;
    message.mutable_ended()->set_request(key.request);
    message.mutable_ended()->set_epoch(static_cast<uint32_t>(epoch));
    *message.mutable_ended()->mutable_status() = ToProto(status);
    sender_->Send(std::move(message));
  }

 private:
  std::shared_ptr<StreamSender<DecodeToGateway>> sender_;
};

}  // namespace

// One attached gateway.
class DecodeService::Session final : public StreamHandler<GatewayToDecode> {
 public:
  Session(DecodeService& service, std::shared_ptr<Sender> sender)
      : service_(service),
        sender_(std::move(sender)),
        replies_(std::make_shared<StreamReplies>(sender_)),
        id_(SessionId{++service.sessions_}) {
    Log(Severity::kInfo, "gateway_attached", {{"session", static_cast<uint64_t>(id_)}});
  }

  void OnMessage(GatewayToDecode& message) override {
    if (message.has_expect()) {
      Expect(message.expect());
    } else if (message.has_cancel()) {
      Cancel(message.cancel());
    }
  }

  void OnClosed(const absl::Status&) override {
    service_.engine_.CancelSession(id_);
    Log(Severity::kInfo, "gateway_detached", {{"session", static_cast<uint64_t>(id_)}});
    MutexLock lock(service_.mutex_);
    service_.senders_.erase(sender_);
  }

 private:
  void Expect(const cluster::v1::ExpectSequence& expect) {
    const RequestKey key{id_, expect.request()};
    const RequestEpoch epoch{expect.epoch()};
    // The try before ends with this one, whose ticket was to go on.
    const auto refuse = [&](const absl::Status& why) {
      if (expect.has_ticket()) service_.engine_.Cancel(key);
      replies_->OnEnded(key, epoch, why);
    };
    if (service_.draining_) {
      return refuse(LinkError(Reason::kDraining, "the worker stops", absl::ZeroDuration()));
    }
    absl::StatusOr<SequenceRequest> request =
        SequenceFromProto(expect.sequence(), service_.host_.config(),
                          service_.host_.context_tokens_max(), service_.clock_.Now());
    if (!request.ok()) return refuse(request.status());
    DecodeJob job{.key = key, .epoch = epoch, .request = *std::move(request), .replies = replies_};
    if (expect.has_ticket()) job.ticket = Ticket{expect.ticket()};
    job.local = expect.local();
    if (service_.engine_.Submit(std::move(job))) return;
    refuse(LinkError(Reason::kQueueFull, "too many requests wait for the next step",
                     absl::Milliseconds(100)));
  }

  void Cancel(const cluster::v1::CancelSequence& cancel) {
    const RequestKey key{id_, cancel.request()};
    if (!cancel.has_candidate()) return service_.engine_.Cancel(key);
    const uint32_t candidate = std::min<uint32_t>(cancel.candidate(), kCandidatesMax);
    service_.engine_.CancelCandidate(key, static_cast<int>(candidate));
  }

  DecodeService& service_;
  std::shared_ptr<Sender> sender_;
  std::shared_ptr<StreamReplies> replies_;
  const SessionId id_;
};

grpc::ServerBidiReactor<GatewayToDecode, DecodeToGateway>* DecodeService::Attach(
    grpc::CallbackServerContext* context) {
  auto sender = std::make_shared<Sender>(kMessagesQueuedMax);
  {
    MutexLock lock(mutex_);
    senders_.insert(sender);
  }
  auto session = std::make_unique<Session>(*this, sender);
  return new ServerBidiStream<GatewayToDecode, DecodeToGateway>(*context, sender,
                                                                std::move(session));
}

void DecodeService::CloseStreams() {
  MutexLock lock(mutex_);
  for (const std::shared_ptr<Sender>& sender : senders_) sender->Close();
}

}  // namespace cleave
