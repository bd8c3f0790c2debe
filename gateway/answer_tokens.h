// Tokens of an answer as workers send them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace cleave {

// Of one token, natural logarithms; see cleave.v1.TokenLogProbabilities.
struct LogProbabilitySet {
  float chosen = 0;
  std::vector<std::pair<TokenId, float>> top;  // likeliest first
};

struct AnswerTokens {
  std::vector<TokenId> ids;
  std::vector<LogProbabilitySet> log_probabilities;  // one for each id, or none
};

}  // namespace cleave
