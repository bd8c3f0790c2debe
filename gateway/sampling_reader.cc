#include "gateway/sampling_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "gateway/field_reader.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// A number that the reader may rely on: NaN and infinities are refused with the range.
absl::Status InRange(absl::string_view field, float value, float min, float max,
                     absl::string_view limit) {
  if (std::isfinite(value) && value >= min && value <= max) return absl::OkStatus();
  return Invalid(field, limit, absl::StrCat(value));
}

absl::Status ReadBias(const v1::Sampling& sampling, const ServedModel& model, RulesChoice& rules) {
  RETURN_IF_ERROR(AtMost("sampling.logit_bias", sampling.logit_bias_size(),
                         model.limits.logit_biases_max, " tokens"));
  std::set<uint32_t> seen;
  for (int i = 0; i < sampling.logit_bias_size(); ++i) {
    const v1::LogitBias& bias = sampling.logit_bias(i);
    const std::string field = absl::StrCat("sampling.logit_bias[", i, "]");
    const auto size = static_cast<uint32_t>(model.defaults.vocabulary_size);
    if (bias.token_id() >= size) {
      return Invalid(field + ".token_id", absl::StrCat("0 to ", size - 1),
                     absl::StrCat(bias.token_id()));
    }
    if (!seen.insert(bias.token_id()).second) {
      return Invalid(field + ".token_id", "each token once", absl::StrCat(bias.token_id()));
    }
    RETURN_IF_ERROR(InRange(field + ".bias", bias.bias(), -100, 100, "-100 to 100"));
    rules.bias.emplace_back(static_cast<TokenId>(bias.token_id()), bias.bias());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SamplingChoice> ReadSampling(const v1::Sampling& sampling,
                                            const ModelDefaults& defaults) {
  SamplingChoice choice;
  choice.temperature = sampling.has_temperature() ? sampling.temperature() : defaults.temperature;
  choice.top_k = sampling.has_top_k() ? sampling.top_k() : defaults.top_k;
  choice.top_p = sampling.has_top_p() ? sampling.top_p() : defaults.top_p;
  choice.min_p = sampling.min_p();
  choice.seed = sampling.has_seed() ? sampling.seed() : RandomSeed();
  RETURN_IF_ERROR(InRange("sampling.temperature", choice.temperature, 0, 2, "0 to 2"));
  RETURN_IF_ERROR(InRange("sampling.top_p", choice.top_p, std::numeric_limits<float>::min(), 1,
                          "above 0, at most 1"));
  RETURN_IF_ERROR(InRange("sampling.min_p", choice.min_p, 0, 1, "0 to 1"));
  return choice;
}

absl::StatusOr<RulesChoice> ReadRules(const v1::GenerateRequest& request,
                                      const ServedModel& model) {
  const v1::Sampling& sampling = request.sampling();
  RulesChoice rules{.presence_penalty = sampling.presence_penalty(),
                    .frequency_penalty = sampling.frequency_penalty()};
  if (sampling.has_repetition_penalty()) rules.repetition_penalty = sampling.repetition_penalty();
  RETURN_IF_ERROR(InRange("sampling.repetition_penalty", rules.repetition_penalty,
                          std::numeric_limits<float>::min(), 10, "above 0, at most 10"));
  RETURN_IF_ERROR(InRange("sampling.presence_penalty", rules.presence_penalty, -2, 2, "-2 to 2"));
  RETURN_IF_ERROR(InRange("sampling.frequency_penalty", rules.frequency_penalty, -2, 2, "-2 to 2"));
  RETURN_IF_ERROR(ReadBias(sampling, model, rules));
  rules.output_tokens_min = request.min_output_tokens();
  if (request.has_thinking_budget_tokens()) {
    if (request.thinking() != v1::THINKING_MODE_ON) {
      return Invalid("thinking_budget_tokens", "absent without thinking", "a number");
    }
    // More than any context is no limit, and leaves room for the channel's name.
    rules.thought_tokens_max = std::min(request.thinking_budget_tokens(), uint32_t{1} << 30);
  }
  return rules;
}

}  // namespace cleave
