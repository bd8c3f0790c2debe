#include "gateway/answer_track.h"

#include <utility>

#include "gateway/request_error.h"
#include "runtime/base/status.h"

namespace cleave {

AnswerTrack::AnswerTrack(int tokens_max, bool log_probabilities)
    : tokens_max_(tokens_max),
      log_probabilities_(log_probabilities),
      other_token_(InvariantError("a worker sent two tokens for one place of an answer")) {}

absl::StatusOr<AnswerTokens> AnswerTrack::Add(int64_t first_index, AnswerTokens tokens,
                                              EndCause finish) {
  const int64_t end = first_index + static_cast<int64_t>(tokens.ids.size());
  AnswerTokens fresh;
  if (closed_) {
    if (finish != EndCause::kNone) total_ = end;  // the worker holds nothing of it any more
    return fresh;
  }
  RETURN_IF_ERROR(Check(first_index, end, tokens));
  if (finish != EndCause::kNone && !total_) {
    // An answer that ends where the same one went on before is another.
    if (end <= static_cast<int64_t>(told_.size())) return other_token_;
    total_ = end;
    finish_ = finish;
  }
  AnswerTokens& kept = early_[first_index];
  if (tokens.ids.size() > kept.ids.size()) kept = std::move(tokens);
  while (!early_.empty() && early_.begin()->first <= static_cast<int64_t>(told_.size())) {
    const auto& [first, next] = *early_.begin();
    if (!Tell(first, next, fresh)) return other_token_;
    early_.erase(early_.begin());
  }
  return fresh;
}

absl::Status AnswerTrack::Check(int64_t first_index, int64_t end,
                                const AnswerTokens& tokens) const {
  if (first_index < 0 || end > tokens_max_ || (total_ && end > *total_)) {
    return InvariantError("a worker sent tokens beyond the answer's end");
  }
  if (tokens.log_probabilities.size() != (log_probabilities_ ? tokens.ids.size() : 0)) {
    return InvariantError("a worker sent tokens without their log-probabilities");
  }
  return absl::OkStatus();
}

bool AnswerTrack::Tell(int64_t first_index, const AnswerTokens& tokens, AnswerTokens& fresh) {
  auto place = static_cast<size_t>(first_index);
  for (size_t i = 0; i < tokens.ids.size(); ++i, ++place) {
    if (place < told_.size()) {
      if (tokens.ids[i] != told_[place]) return false;
      continue;
    }
    told_.push_back(tokens.ids[i]);
    fresh.ids.push_back(tokens.ids[i]);
    if (log_probabilities_) fresh.log_probabilities.push_back(tokens.log_probabilities[i]);
  }
  return true;
}

void AnswerTrack::BeginAgain(const absl::Status& why) {
  early_.clear();
  total_.reset();
  finish_ = EndCause::kNone;
  other_token_ = why;
}

EndCause AnswerTrack::cause() const {
  return total_ == static_cast<int64_t>(told_.size()) ? finish_ : EndCause::kNone;
}

}  // namespace cleave
