#include "engine/sequence.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/log_probabilities.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::Status CheckIds(const std::vector<int32_t>& ids, absl::string_view field,
                      const ModelConfig& config) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < config.vocabulary_size) continue;
    return InvalidField(Reason::kFieldInvalid, absl::StrCat(field, "[", i, "]"),
                        absl::StrCat("0 to ", config.vocabulary_size - 1), absl::StrCat(ids[i]));
  }
  return absl::OkStatus();
}

absl::Status CheckCache(const SequenceRequest& request) {
  constexpr size_t kBoundariesMax = 8, kSaltBytesMax = 64;
  const std::vector<int64_t>& boundaries = request.cache_boundaries;
  if (boundaries.size() > kBoundariesMax) {
    return InvalidField(Reason::kFieldInvalid, "cache_boundaries",
                        absl::StrCat("at most ", kBoundariesMax), absl::StrCat(boundaries.size()));
  }
  int64_t begin = 1;
  for (const int64_t boundary : boundaries) {
    const auto end = static_cast<int64_t>(request.prompt_ids.size());
    if (boundary < begin || boundary > end) {
      return InvalidField(Reason::kFieldInvalid, "cache_boundaries",
                          absl::StrCat("ascending, ", begin, " to ", end), absl::StrCat(boundary));
    }
    begin = boundary + 1;
  }
  if (request.cache_salt.size() > kSaltBytesMax) {
    return InvalidField(Reason::kFieldInvalid, "cache_salt",
                        absl::StrCat("at most ", kSaltBytesMax, " bytes"),
                        absl::StrCat(request.cache_salt.size()));
  }
  return absl::OkStatus();
}

absl::Status CheckMedia(const std::vector<SoftSpan>& media, int64_t prompt_tokens) {
  int64_t free_from = 0;
  for (size_t i = 0; i < media.size(); ++i) {
    const SoftSpan& span = media[i];
    if (span.tokens >= 1 && span.first_position >= free_from && span.end() <= prompt_tokens) {
      free_from = span.end();
      continue;
    }
    return InvalidField(Reason::kFieldInvalid, absl::StrCat("media[", i, "]"),
                        absl::StrCat("positions ", free_from, " to ", prompt_tokens - 1),
                        absl::StrCat(span.tokens, " tokens at ", span.first_position));
  }
  return absl::OkStatus();
}

absl::Status CheckRange(absl::string_view field, double value, double min, double max) {
  if (value >= min && value <= max) return absl::OkStatus();  // NaN fails
  return InvalidField(Reason::kFieldInvalid, field, absl::StrCat(min, " to ", max),
                      absl::StrCat(value));
}

absl::Status CheckId(int32_t id, absl::string_view field, const ModelConfig& config) {
  return CheckIds({id}, field, config);
}

absl::Status CheckRules(const SequenceRequest& request, const ModelConfig& config) {
  const LogitRuleParameters& rules = request.rules;
  for (size_t i = 0; i < rules.logit_bias.size(); ++i) {
    const auto [id, bias] = rules.logit_bias[i];
    RETURN_IF_ERROR(CheckId(id, absl::StrCat("rules.logit_bias[", i, "].id"), config));
    RETURN_IF_ERROR(CheckRange(absl::StrCat("rules.logit_bias[", i, "].bias"), bias, -100, 100));
  }
  if (!(rules.repetition_penalty > 0 && rules.repetition_penalty <= 10)) {
    return InvalidField(Reason::kFieldInvalid, "rules.repetition_penalty", "above 0, at most 10",
                        absl::StrCat(rules.repetition_penalty));
  }
  RETURN_IF_ERROR(CheckRange("rules.presence_penalty", rules.presence_penalty, -2, 2));
  RETURN_IF_ERROR(CheckRange("rules.frequency_penalty", rules.frequency_penalty, -2, 2));
  RETURN_IF_ERROR(CheckRange("rules.output_tokens_min",
                             static_cast<double>(rules.output_tokens_min), 0,
                             static_cast<double>(request.output_tokens_max)));
  if (rules.thought_tokens_max >= 0) {
    RETURN_IF_ERROR(CheckId(rules.thought_begin_id, "rules.thought_begin_id", config));
    RETURN_IF_ERROR(CheckId(rules.thought_end_id, "rules.thought_end_id", config));
  }
  return CheckRange("log_probabilities", request.log_probabilities, -1, kTopLogProbabilitiesMax);
}

}  // namespace

absl::Status SequenceRequest::Validate(const ModelConfig& config,
                                       int64_t context_tokens_max) const {
  if (prompt_ids.empty()) {
    return InvalidField(Reason::kFieldInvalid, "prompt_ids", "at least 1 token", "none");
  }
  if (num_positions() >= context_tokens_max) {
    return InvalidField(Reason::kContextTooLong, "prompt_ids",
                        absl::StrCat("at most ", context_tokens_max - 1, " tokens"),
                        absl::StrCat(num_positions(), " tokens"));
  }
  RETURN_IF_ERROR(CheckIds(prompt_ids, "prompt_ids", config));
  RETURN_IF_ERROR(CheckIds(emitted_ids, "emitted_ids", config));
  RETURN_IF_ERROR(CheckIds(stop_ids, "stop_ids", config));
  RETURN_IF_ERROR(CheckMedia(media, static_cast<int64_t>(prompt_ids.size())));
  if (output_tokens_max <= static_cast<int64_t>(emitted_ids.size())) {
    return InvalidField(Reason::kFieldInvalid, "output_tokens_max",
                        absl::StrCat("more than the ", emitted_ids.size(), " tokens emitted"),
                        absl::StrCat(output_tokens_max));
  }
  RETURN_IF_ERROR(CheckRange("candidates", static_cast<float>(candidates), 1, kCandidatesMax));
  if (candidates > 1 && !emitted_ids.empty()) {
    return InvalidField(Reason::kFieldInvalid, "emitted_ids", "none with several candidates",
                        absl::StrCat(emitted_ids.size(), " tokens"));
  }
  RETURN_IF_ERROR(CheckRange("sampling.temperature", sampling.temperature, 0, 2));
  RETURN_IF_ERROR(CheckRange("sampling.top_k", sampling.top_k, 0, 1 << 30));
  RETURN_IF_ERROR(CheckRange("sampling.min_p", sampling.min_p, 0, 1));
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return InvalidField(Reason::kFieldInvalid, "sampling.top_p", "above 0, at most 1",
                        absl::StrCat(sampling.top_p));
  }
  RETURN_IF_ERROR(CheckCache(*this));
  return CheckRules(*this, config);
}

FinishCause CheckFinish(const SequenceRequest& request, int32_t token, int64_t output_tokens,
                        int64_t context_tokens_max) {
  if (std::find(request.stop_ids.begin(), request.stop_ids.end(), token) !=
      request.stop_ids.end()) {
    return FinishCause::kStopId;
  }
  if (output_tokens >= request.output_tokens_max) return FinishCause::kMaxTokens;
  const int64_t prompt_tokens = static_cast<int64_t>(request.prompt_ids.size());
  if (prompt_tokens + output_tokens >= context_tokens_max) return FinishCause::kContextFull;
  return FinishCause::kNone;
}

}  // namespace cleave
