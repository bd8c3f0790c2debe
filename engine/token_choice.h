// The choice of an answer's next token: log-probabilities, rules, sampling, in this order.
#pragma once

#include <optional>

#include "engine/log_probabilities.h"
#include "engine/logit_rules.h"
#include "engine/sampler.h"

namespace cleave {

struct TokenChoice {
  int32_t id = 0;
  std::optional<PlaceLogProbabilities> log_probabilities;  // when the request wants them
};

// `logits`: [vocabulary] raw, changed by the rules, which stand before this token. `position`: the
// token's own in the sequence; `candidate`: which of the request's answers it is of.
TokenChoice ChooseToken(absl::Span<float> logits, const SequenceRequest& request,
                        const LogitRules& rules, int64_t position, Sampler& sampler,
                        int candidate = 0);

}  // namespace cleave
