#include "tokenizer/word_cache.h"

#include <cstring>

#include "absl/hash/hash.h"

namespace cleave {
namespace {

constexpr size_t kEntries = 65536;

}  // namespace

WordCache::WordCache() : entries_(kEntries) {}

bool WordCache::Entry::Holds(absl::string_view other) const {
  return word_bytes == other.size() && std::memcmp(word.data(), other.data(), other.size()) == 0;
}

size_t WordCache::FirstPlace(absl::string_view word) {
  return absl::Hash<absl::string_view>()(word) % (kEntries / 2) * 2;
}

bool WordCache::AppendIds(absl::string_view word, std::vector<TokenId>& ids) const {
  if (word.size() > kWordBytesMax) return false;
  const size_t place = FirstPlace(word);
  for (size_t i = place; i < place + 2; ++i) {
    const Entry& entry = entries_[i];
    if (!entry.Holds(word)) continue;
    ids.insert(ids.end(), entry.ids.begin(), entry.ids.begin() + entry.num_ids);
    return true;
  }
  return false;
}

void WordCache::Insert(absl::string_view word, absl::Span<const TokenId> ids) {
  if (word.size() > kWordBytesMax || ids.size() > kIdsMax) return;
  const size_t place = FirstPlace(word);
  entries_[place + 1] = entries_[place];
  Entry& entry = entries_[place];
  entry.word_bytes = static_cast<uint8_t>(word.size());
  entry.num_ids = static_cast<uint8_t>(ids.size());
  std::memcpy(entry.word.data(), word.data(), word.size());
  std::memcpy(entry.ids.data(), ids.data(), ids.size() * sizeof(TokenId));
}

}  // namespace cleave
