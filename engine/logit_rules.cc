#include "engine/logit_rules.h"

#include <algorithm>
#include <limits>

#include "engine/draft_planner.h"

namespace cleave {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

LogitRules::LogitRules(const SequenceRequest& request) : request_(request) {
  const LogitRuleParameters& rules = request.rules;
  penalties_ =
      rules.repetition_penalty != 1 || rules.presence_penalty != 0 || rules.frequency_penalty != 0;
  any_ = penalties_ || !rules.logit_bias.empty() || rules.output_tokens_min > 0 ||
         rules.thought_tokens_max >= 0;
  if (penalties_) {
    uses_.reserve(request.prompt_ids.size() + static_cast<size_t>(request.output_tokens_max) +
                  kDraftsMax);
    for (const int32_t token : request.prompt_ids) uses_[token].in_prompt = true;
  }
  place_.in_thought = rules.starts_in_thought;
  for (const int32_t token : request.emitted_ids) Push(token);
}

void LogitRules::Push(int32_t token) {
  if (penalties_) ++uses_[token].in_answer;
  ++place_.output_tokens;
  if (token == request_.rules.thought_begin_id) {
    place_.in_thought = true;
  } else if (token == request_.rules.thought_end_id) {
    place_.in_thought = false;
  } else if (place_.in_thought) {
    ++place_.thought_tokens;
  }
}

void LogitRules::TakeBack(const Mark& mark, absl::Span<const int32_t> tokens) {
  place_ = mark;
  if (!penalties_) return;
  for (const int32_t token : tokens) {
    const auto use = uses_.find(token);
    // Forgotten, or the rejected drafts of a long answer would fill the table.
    if (--use->second.in_answer == 0 && !use->second.in_prompt) uses_.erase(use);
  }
}

void LogitRules::Apply(absl::Span<float> logits) const {
  if (!any_) return;
  const LogitRuleParameters& rules = request_.rules;
  for (const auto& [token, bias] : rules.logit_bias) logits[static_cast<size_t>(token)] += bias;
  for (const auto& [token, use] : uses_) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = Penalised(logit, use);
  }
  if (place_.output_tokens < rules.output_tokens_min) {
    for (const int32_t id : request_.stop_ids) logits[static_cast<size_t>(id)] = kNever;
  }
  const bool thought_over = rules.thought_tokens_max >= 0 && place_.in_thought &&
                            place_.thought_tokens >= rules.thought_tokens_max;
  if (thought_over) {
    std::fill(logits.begin(), logits.end(), kNever);
    logits[static_cast<size_t>(rules.thought_end_id)] = 0;
  }
}

float LogitRules::Penalised(float logit, const Use& use) const {
  const LogitRuleParameters& rules = request_.rules;
  if (use.in_prompt || use.in_answer > 0) {
    logit = logit > 0 ? logit / rules.repetition_penalty : logit * rules.repetition_penalty;
  }
  if (use.in_answer > 0) {
    logit -= rules.presence_penalty;
    logit -= rules.frequency_penalty * static_cast<float>(use.in_answer);
  }
  return logit;
}

}  // namespace cleave
