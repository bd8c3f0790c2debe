#include "engine/token_choice.h"

#include <vector>

namespace cleave {

TokenChoice ChooseToken(absl::Span<float> logits, const SequenceRequest& request,
                        const LogitRules& rules, int64_t position, Sampler& sampler,
                        int candidate) {
  std::vector<float> raw;
  if (request.log_probabilities >= 0) raw.assign(logits.begin(), logits.end());
  rules.Apply(logits);
  TokenChoice choice{
      .id = sampler.Choose(logits, request.sampling,
                           {.candidate = static_cast<uint32_t>(candidate), .position = position})};
  if (!raw.empty()) {
    choice.log_probabilities = LogProbabilities(raw, choice.id, request.log_probabilities);
  }
  return choice;
}

}  // namespace cleave
