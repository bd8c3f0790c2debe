// The one door to SentencePiece. Its header defines names that clash with Abseil's, so this
// interface is std types only and sentencepiece_door.cc includes no Abseil. Internal to tokenizer/.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}  // namespace sentencepiece

namespace cleave {

// One piece of a byte-pair model, its id being its place in the list.
struct SentencePieceEntry {
  enum class Kind { kNormal, kUnknown, kControl, kByte };  // only kNormal takes part in merging
  std::string_view piece;                                  // never empty; spaces are U+2581
  Kind kind;
  float score;  // of two possible merges the one whose result scores higher is done first
};

// A byte-pair encoder without normalisation: spaces become U+2581, nothing is added or collapsed,
// and what no piece covers falls back to its bytes. Immutable, so any thread may encode.
class SentencePieceDoor {
 public:
  // Needs exactly one kUnknown entry and all 256 kByte entries. nullptr, with SentencePiece's
  // reason in `error`, when the entries make no model.
  static std::unique_ptr<SentencePieceDoor> Open(const std::vector<SentencePieceEntry>& entries,
                                                 std::string& error);
  ~SentencePieceDoor();

  // Replaces `ids` by the ids of `text`, which is well-formed UTF-8 of less than 2^31 bytes. No id
  // of a control entry ever comes out. False when SentencePiece refuses.
  bool Encode(std::string_view text, std::vector<int>& ids) const;

 private:
  SentencePieceDoor();
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace cleave
