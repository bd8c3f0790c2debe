#include "gateway/unary_reply.h"

#include <utility>

#include "gateway/request_parse.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

void AccumulateCall(const v1::ToolCallDelta& delta, v1::Candidate& candidate) {
  while (candidate.tool_calls_size() <= static_cast<int>(delta.index())) candidate.add_tool_calls();
  v1::ToolCall& call = *candidate.mutable_tool_calls(static_cast<int>(delta.index()));
  if (!delta.id().empty()) call.set_id(delta.id());
  if (!delta.name().empty()) call.set_name(delta.name());
  call.mutable_arguments()->append(delta.arguments());
}

}  // namespace

void Accumulate(const v1::GenerateEvent& event, v1::GenerateResponse& response) {
  if (event.has_started()) {
    response.set_response_id(event.started().response_id());
    response.set_model(event.started().model());
    response.set_seed(event.started().seed());
    return;
  }
  if (event.has_summary()) {
    *response.mutable_usage() = event.summary().usage();
    *response.mutable_timings() = event.summary().timings();
    response.set_prefill_worker(event.summary().prefill_worker());
    response.set_decode_worker(event.summary().decode_worker());
    response.set_replays(event.summary().replays());
    return;
  }
  while (response.candidates_size() <= static_cast<int>(event.candidate())) {
    response.add_candidates();
  }
  v1::Candidate& candidate = *response.mutable_candidates(static_cast<int>(event.candidate()));
  if (event.has_text()) candidate.mutable_text()->append(event.text().text());
  if (event.has_thought()) candidate.mutable_thought()->append(event.thought().text());
  if (event.has_log_probabilities()) {
    candidate.mutable_log_probabilities()->MergeFrom(event.log_probabilities().tokens());
  }
  if (event.has_tool_call()) AccumulateCall(event.tool_call(), candidate);
  if (event.has_finished()) {
    candidate.set_reason(event.finished().reason());
    candidate.set_stop_string(event.finished().stop_string());
  }
}

UnaryReply::UnaryReply(const ChatBackend& backend, CallInfo info, grpc::ByteBuffer* response)
    : call_(std::make_shared<ChatCall>(backend, std::move(info), *this)), response_(response) {}

absl::Status UnaryReply::OnEvent(v1::GenerateEvent event) {
  Accumulate(event, folded_);
  return absl::OkStatus();
}

void UnaryReply::OnEnd(const absl::Status& status) {
  if (status.ok()) *response_ = SerializeReply(folded_);
  Finish(ToGrpc(status));
}

}  // namespace cleave
