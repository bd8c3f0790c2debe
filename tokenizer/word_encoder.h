// Encodes one word by SentencePiece, in time proportional to its length. Internal to tokenizer/.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tokenizer/sentencepiece_door.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

// Immutable, so any thread may encode.
class WordEncoder {
 public:
  // `vocabulary` is made from `json` and must outlive the encoder. INVALID_ARGUMENT when the pieces
  // make no byte-pair model.
  static absl::StatusOr<WordEncoder> Create(const TokenizerJson& json,
                                            const Vocabulary& vocabulary);

  // Appends the ids of `word`, which is well-formed UTF-8.
  void AppendIds(absl::string_view word, std::vector<TokenId>& ids) const;

  // The same in one call of SentencePiece. Its queue and tables outgrow the caches with the length
  // (1 MB takes seven times as long per byte as 1 KB), so AppendIds cuts long words.
  void AppendIdsWhole(absl::string_view word, std::vector<TokenId>& ids) const;

 private:
  WordEncoder(const Vocabulary& vocabulary, std::unique_ptr<SentencePieceDoor> door)
      : vocabulary_(&vocabulary), door_(std::move(door)) {}

  bool AppendIdsByWindows(absl::string_view word, std::vector<TokenId>& ids) const;
  std::vector<TokenId> WindowIds(absl::string_view window, bool is_last) const;
  bool StayApart(TokenId left, TokenId right) const;
  size_t Length(TokenId id) const { return vocabulary_->bytes(id).size(); }

  const Vocabulary* vocabulary_;
  std::unique_ptr<SentencePieceDoor> door_;
};

}  // namespace cleave
