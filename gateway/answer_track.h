// The tokens of one answer, put in order.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/answer_tokens.h"
#include "gateway/sequence_order.h"

namespace cleave {

// Tokens come from a prefill and a decode worker, in any order between the two, some twice, and
// some again in a later try. The track gives each once, in order. Not thread-safe.
class AnswerTrack {
 public:
  // `tokens_max`: of the whole answer. With `log_probabilities` each token has its own.
  AnswerTrack(int tokens_max, bool log_probabilities);

  // Keeps tokens until those before them are there, and returns those that can be told now: maybe
  // none, and none once the track is closed. `finish` comes with the last ones. INTERNAL
  // (INVARIANT) when they are no part of this answer. Tokens that are others than those told before
  // them end it too: with the error that BeginAgain got, since another try may compute otherwise.
  absl::StatusOr<AnswerTokens> Add(int64_t first_index, AnswerTokens tokens, EndCause finish);
  // The answer is complete, whatever still comes.
  void Close() { closed_ = true; }
  // Another try begins, because of `why`. What waits behind a gap is forgotten, and the end of an
  // answer that is not complete.
  void BeginAgain(const absl::Status& why);

  const std::vector<TokenId>& told() const { return told_; }
  bool closed() const { return closed_; }
  // Whether the workers of this try have sent its last token.
  bool has_end() const { return total_.has_value(); }
  // With the last token told, how the answer ended; before that kNone.
  EndCause cause() const;

 private:
  absl::Status Check(int64_t first_index, int64_t end, const AnswerTokens& tokens) const;
  // False: one of them is not what was told at its place.
  bool Tell(int64_t first_index, const AnswerTokens& tokens, AnswerTokens& fresh);

  const int tokens_max_;
  const bool log_probabilities_;
  std::vector<TokenId> told_;
  std::map<int64_t, AnswerTokens> early_;  // by index, before those in front of them came
  std::optional<int64_t> total_;           // once the last one is known
  EndCause finish_ = EndCause::kNone;
  bool closed_ = false;
  absl::Status other_token_;  // what a token that was told otherwise ends with
};

}  // namespace cleave
