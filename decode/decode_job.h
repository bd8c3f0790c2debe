// One sequence on a decode worker, from its announcement to its last token.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/log_probabilities.h"
#include "engine/request_key.h"
#include "engine/sequence.h"
#include "runtime/link/link_messages.h"

namespace cleave {

struct DecodeTimings {
  absl::Duration handover;  // KV complete until the first step with the sequence
  absl::Duration decode;    // from there to the last token
};

// What one step adds to one sequence. Spans are valid during the call.
struct StepTokens {
  RequestKey key;
  RequestEpoch epoch{};
  int candidate = 0;        // which answer of the request
  int64_t first_index = 0;  // of tokens[0] in the answer
  absl::Span<const int32_t> tokens;
  absl::Span<const PlaceLogProbabilities> log_probabilities;  // one for each token, or none
  FinishCause finish = FinishCause::kNone;
  DecodeTimings timings;  // set with the last token
};

// Where a gateway's answers go; one for each attachment. Called on the engine's thread; must not
// block.
class DecodeReplies {
 public:
  virtual ~DecodeReplies() = default;
  virtual void OnTicket(RequestKey key, TransferId transfer) = 0;
  // All sequences of this gateway that were in a step.
  virtual void OnStep(absl::Span<const StepTokens> sequences) = 0;
  // The sequence ended without finishing; the last call about it.
  virtual void OnEnded(RequestKey key, RequestEpoch epoch, const absl::Status& status) = 0;
};

struct DecodeJob {
  RequestKey key;
  RequestEpoch epoch{};
  // That of an earlier epoch of the same request, which goes on; absent: a new one is drawn.
  std::optional<Ticket> ticket;
  bool local = false;  // no ticket: this worker computes the prompt, which has no media
  SequenceRequest request;
  std::shared_ptr<DecodeReplies> replies;  // shared with the stream that the answers go to
};

}  // namespace cleave
