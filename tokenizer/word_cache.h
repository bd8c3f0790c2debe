// The ids of words met before. Internal to tokenizer/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tokenizer/tokenizer_json.h"

namespace cleave {

// A fixed table of 65,536 entries and 4 MiB: a word has two places by its hash, and a new word
// pushes out the older of the two. So hostile text cannot make it grow; it only makes it miss. Not
// thread-safe.
class WordCache {
 public:
  // Longer words, and words of more ids, are not kept.
  static constexpr size_t kWordBytesMax = 30;
  static constexpr size_t kIdsMax = 8;

  WordCache();

  // Appends the ids of `word` (not empty) to `ids`; false when they are not here.
  bool AppendIds(absl::string_view word, std::vector<TokenId>& ids) const;
  void Insert(absl::string_view word, absl::Span<const TokenId> ids);

 private:
  // One cache line. No word is empty, so word_bytes 0 marks a free entry.
  struct alignas(64) Entry {
    uint8_t word_bytes = 0;
    uint8_t num_ids = 0;
    std::array<char, kWordBytesMax> word{};
    std::array<TokenId, kIdsMax> ids{};

    bool Holds(absl::string_view other) const;
  };
  static_assert(sizeof(Entry) == 64);

  static size_t FirstPlace(absl::string_view word);

  std::vector<Entry> entries_;
};

}  // namespace cleave
