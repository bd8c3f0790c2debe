// Cuts text where no piece of the vocabulary can reach across, so that the words may be encoded one
// by one. Internal to tokenizer/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"

namespace cleave {

// Two neighbouring characters that stand beside each other in no piece are never merged, directly
// or as ends of longer pieces: a cut between them changes no id, whatever the vocabulary. In Gemma
// 4's this puts a cut before every run of spaces (except after ">"), around runs of newlines and
// tabs, and between digits. Immutable once filled, so any thread may cut.
class WordCut {
 public:
  WordCut();
  // `piece` takes part in merging. Spaces are spaces here, not U+2581.
  void AddPiece(absl::string_view piece);

  // How many bytes the first word of `text` (well-formed UTF-8, not empty) has.
  size_t FirstWord(absl::string_view text) const;

 private:
  bool Joined(char32_t left, char32_t right) const;

  // One bit for each pair of ASCII characters.
  std::array<uint64_t, 128 * 128 / 64> ascii_pairs_{};
  // One bit for each hash of another pair. Pairs that share a bit lose a cut, never exactness.
  std::vector<uint64_t> other_pairs_;
};

}  // namespace cleave
