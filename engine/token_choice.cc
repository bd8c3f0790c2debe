#include "engine/token_choice.h"

namespace cleave {

TokenChoice ChooseToken(absl::Span<float> logits, const SequenceRequest& request,
                        const LogitRules& rules, int64_t position, Sampler& sampler,
                        int candidate) {
  absl::Span<const float> raw;
  if (request.log_probabilities >= 0) raw = sampler.Copy(logits);
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
