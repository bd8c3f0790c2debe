#include "gateway/decode_connection.h"

#include <optional>
#include <utility>
#include <vector>

#include "gateway/sequence_proto.h"
#include "runtime/rpc/status.h"

namespace cleave {

DecodeConnection::DecodeConnection(std::string address, ConnectionContext context)
    : AttachedConnection(std::move(address), cluster::v1::WORKER_ROLE_DECODE, std::move(context)) {}

bool DecodeConnection::Expect(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                              absl::Duration time_left, std::shared_ptr<WorkerEvents> events) {
  const auto tokens = static_cast<int64_t>(order.prompt_ids.size());
  cluster::v1::GatewayToDecode message;
  cluster::v1::ExpectSequence& expect = *message.mutable_expect();
  expect.set_request(static_cast<uint64_t>(request));
  expect.set_epoch(epoch);
  *expect.mutable_sequence() = ToProto(order, time_left);
  expect.set_local(order.local);
  if (order.ticket) expect.set_ticket(*order.ticket);
  return BeginRequest(request, {std::move(events), tokens, epoch}, std::move(message));
}

void DecodeConnection::CancelCandidate(RequestNumber request, int candidate) {
  cluster::v1::GatewayToDecode message;
  message.mutable_cancel()->set_request(static_cast<uint64_t>(request));
  message.mutable_cancel()->set_candidate(static_cast<uint32_t>(candidate));
  SendCancel(std::move(message));
}

void DecodeConnection::OnMessage(const cluster::v1::DecodeToGateway& message) {
  if (message.has_step()) {
    OnStep(message.step());
  } else if (message.has_ticket()) {
    const cluster::v1::TicketIssued& issued = message.ticket();
    const auto events = Find(RequestNumber{issued.request()}, issued.epoch());
    if (events != nullptr) events->OnTicket(issued.epoch(), issued.ticket());
  } else if (message.has_ended()) {
    const cluster::v1::SequenceEnded& ended = message.ended();
    const auto events = Take(RequestNumber{ended.request()}, ended.epoch());
    if (events == nullptr) return;  // ended here; its cancel is on the way
    events->OnDecodeEnded(ended.epoch(), cleave::FromProto(ended.status()));
  }
}

void DecodeConnection::OnStep(const cluster::v1::StepTokens& step) {
  for (const cluster::v1::SequenceTokens& sequence : step.sequences()) {
    const auto events = Find(RequestNumber{sequence.request()}, sequence.epoch());
    if (events == nullptr) continue;
    std::optional<DecodePhases> phases;
    if (sequence.has_timings()) phases = FromProto(sequence.timings());
    AnswerTokens tokens{.ids = {sequence.ids().begin(), sequence.ids().end()},
                        .log_probabilities = {}};
    for (const cluster::v1::TokenLogProbabilities& place : sequence.log_probabilities()) {
      tokens.log_probabilities.push_back(FromProto(place));
    }
    events->OnStepTokens(sequence.epoch(), static_cast<int>(sequence.candidate()),
                         sequence.first_index(), std::move(tokens), FromProto(sequence.finish()),
                         phases);
  }
}

}  // namespace cleave
