// Finds control tokens spelled in text. Internal to tokenizer/.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "absl/strings/string_view.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

// Where the first control token of a text stands; `length` 0 and `begin` at the end when none does.
struct ControlMatch {
  size_t begin;
  size_t length;
  TokenId id;
};

// Matches added tokens verbatim: leftmost, of several at one place the longest. Immutable.
class ControlMatcher {
 public:
  // `vocabulary` must outlive the matcher.
  explicit ControlMatcher(const Vocabulary& vocabulary);
  ControlMatch Find(absl::string_view text) const;

 private:
  const Vocabulary& vocabulary_;
  std::array<std::vector<TokenId>, 256> by_first_byte_;  // the longest first
};

}  // namespace cleave
