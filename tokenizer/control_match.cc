#include "tokenizer/control_match.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace cleave {

ControlMatcher::ControlMatcher(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
  for (const TokenId id : vocabulary.controls()) {
    by_first_byte_[static_cast<uint8_t>(vocabulary.bytes(id)[0])].push_back(id);
  }
  for (std::vector<TokenId>& ids : by_first_byte_) {
    std::sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) {
      return vocabulary.bytes(a).size() > vocabulary.bytes(b).size();
    });
  }
}

ControlMatch ControlMatcher::Find(absl::string_view text) const {
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (const TokenId id : by_first_byte_[static_cast<uint8_t>(text[begin])]) {
      const absl::string_view spelling = vocabulary_.bytes(id);
      if (absl::StartsWith(text.substr(begin), spelling)) return {begin, spelling.size(), id};
    }
  }
  return {text.size(), 0, 0};
}

}  // namespace cleave
