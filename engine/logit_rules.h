// What a request changes about logits before a token is chosen. Every rule is a function of the
// request and of the tokens so far, so a replay, a draft and another worker apply the same.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "engine/sequence.h"

namespace cleave {

// The rules of one sequence, in this order (that of the reference, where it has them):
//   logit_bias          added to its tokens
//   repetition_penalty  of every token in prompt or answer: a positive logit is divided by it, any
//                       other multiplied (Keskar et al. 2019)
//   presence_penalty    subtracted from every token in the answer
//   frequency_penalty   the same, once for each time it is there
//   output_tokens_min   until then no stop id
//   thought_tokens_max  of all thoughts together; then nothing but the end of the thought
// One thread uses it. It takes its memory when made; `request` outlives it.
class LogitRules {
 public:
  explicit LogitRules(const SequenceRequest& request);

  // The next token of the answer, emitted ones included.
  void Push(int32_t token);
  // Changes [vocabulary] raw logits for the choice of the next token.
  void Apply(absl::Span<float> logits) const;

  // Drafts are pushed as if they were the answer, and taken back: `tokens` are what was pushed
  // since the mark.
  struct Mark {
    int64_t output_tokens = 0;
    int64_t thought_tokens = 0;  // between begin and end
    bool in_thought = false;
  };
  const Mark& mark() const { return place_; }
  void TakeBack(const Mark& mark, absl::Span<const int32_t> tokens);

 private:
  struct Use {
    bool in_prompt = false;
    int64_t in_answer = 0;
  };
  float Penalised(float logit, const Use& use) const;

  const SequenceRequest& request_;
  bool any_ = false, penalties_ = false;
  absl::flat_hash_map<int32_t, Use> uses_;  // of tokens; with penalties only
  Mark place_;
};

}  // namespace cleave
