// A tokenizer of some 330 pieces for tests: Gemma 4's form and its control tokens, at other ids.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tokenizer/tokenizer_json.h"

namespace cleave {

struct SmallTokenizer {
  SmallTokenizer();

  // Given ids from 0 on in this order: bytes, pieces, products of merges, controls.
  std::vector<std::string> pieces;
  std::vector<std::pair<std::string, std::string>> merges;  // spaces are U+2581
  std::vector<std::string> controls;
  std::string normalizer;

  // tokenizer.json.
  std::string Json() const;

  // The ids of `text` by the definition: start from characters, do the merge of lowest rank that is
  // present, leftmost first; what is no piece falls to bytes. Quadratic and believed.
  std::vector<TokenId> ReferenceEncode(absl::string_view text) const;

  TokenId IdOf(absl::string_view spelling) const;

 private:
  std::vector<std::string> AllPieces() const;
};

}  // namespace cleave
