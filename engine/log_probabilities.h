// Log-probabilities of tokens as the model sees them: of the raw distribution, before any rule,
// filter or temperature of the request.
#pragma once

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"

namespace cleave {

inline constexpr int kTopLogProbabilitiesMax = 20;

struct TokenLogProbability {
  int32_t id = 0;
  float log_probability = 0;
};

// Of one place of an answer. In one piece, so that a step allocates nothing.
struct PlaceLogProbabilities {
  float chosen = 0;  // of the token that was chosen
  // The likeliest, likeliest first; the lowest id on a tie.
  absl::InlinedVector<TokenLogProbability, kTopLogProbabilitiesMax> top;
};

// logits: [vocabulary]. `top`: 0 to kTopLogProbabilitiesMax. The sum runs over ids in ascending
// order in double, with our own exp and log, so the bits are the same on every worker.
PlaceLogProbabilities LogProbabilities(absl::Span<const float> logits, int32_t chosen, int top);

}  // namespace cleave
