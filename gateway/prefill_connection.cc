#include "gateway/prefill_connection.h"

#include <utility>

#include "gateway/media_upload.h"
#include "gateway/sequence_proto.h"
#include "runtime/rpc/status.h"

namespace cleave {

PrefillConnection::PrefillConnection(std::string address, ConnectionContext context)
    : AttachedConnection(std::move(address), cluster::v1::WORKER_ROLE_PREFILL, std::move(context)),
      media_stub_(cluster::v1::Prefill::NewStub(OpenChannel(this->address(), options()))) {}

void PrefillConnection::PutMedia(const MediaItem& item, absl::Duration time_left,
                                 std::function<void(absl::Status)> done) {
  StartMediaUpload(*media_stub_, calls(), item, time_left, std::move(done));
}

bool PrefillConnection::Run(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                            absl::Duration time_left, uint64_t ticket,
                            const std::string& decode_address,
                            std::shared_ptr<WorkerEvents> events) {
  const auto tokens = static_cast<int64_t>(order.prompt_ids.size());
  cluster::v1::GatewayToPrefill message;
  cluster::v1::RunPrefill& run = *message.mutable_run();
  run.set_request(static_cast<uint64_t>(request));
  run.set_epoch(epoch);
  *run.mutable_sequence() = ToProto(order, time_left);
  run.set_ticket(ticket);
  run.set_decode_address(decode_address);
  return BeginRequest(request, {std::move(events), tokens, epoch}, std::move(message));
}

void PrefillConnection::OnMessage(const cluster::v1::PrefillToGateway& message) {
  if (message.has_first_token()) {
    const cluster::v1::FirstToken& token = message.first_token();
    const auto events = Find(RequestNumber{token.request()}, token.epoch());
    if (events == nullptr) return;  // ended here; its cancel is on the way
    AnswerTokens first{.ids = {token.id()}, .log_probabilities = {}};
    if (token.has_log_probabilities()) {
      first.log_probabilities.push_back(FromProto(token.log_probabilities()));
    }
    events->OnFirstToken(token.epoch(), static_cast<int>(token.candidate()), std::move(first),
                         FromProto(token.finish()), FromProto(token));
  } else if (message.has_ended()) {
    const cluster::v1::PrefillEnded& ended = message.ended();
    const auto events = Take(RequestNumber{ended.request()}, ended.epoch());
    if (events == nullptr) return;
    events->OnPrefillEnded(ended.epoch(), cleave::FromProto(ended.status()));
  }
}

}  // namespace cleave
