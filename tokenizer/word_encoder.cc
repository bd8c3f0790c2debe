#include "tokenizer/word_encoder.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

// A long word is encoded by windows of this size, the last part of which is dropped: there the
// window's end, which is not the word's, decided.
constexpr size_t kWindowBytes = 1024;
constexpr size_t kTailBytes = 128;

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

SentencePieceEntry Entry(const TokenizerJson& json, TokenId id) {
  const TokenizerJson::Piece& piece = json.pieces[static_cast<size_t>(id)];
  SentencePieceEntry entry{.piece = {piece.spelling.data(), piece.spelling.size()},
                           .kind = SentencePieceEntry::Kind::kControl,
                           .score = 0};
  if (id == json.unknown) {
    entry.kind = SentencePieceEntry::Kind::kUnknown;
  } else if (piece.kind == PieceKind::kByte) {
    entry.kind = SentencePieceEntry::Kind::kByte;
  } else if (piece.kind == PieceKind::kText) {
    entry.kind = SentencePieceEntry::Kind::kNormal;
    entry.score = -static_cast<float>(piece.merge_rank < 0 ? json.merges : piece.merge_rank);
  }
  return entry;
}

}  // namespace

absl::StatusOr<WordEncoder> WordEncoder::Create(const TokenizerJson& json,
                                                const Vocabulary& vocabulary) {
  std::vector<SentencePieceEntry> entries;
  entries.reserve(json.pieces.size());
  for (TokenId id = 0; id < vocabulary.size(); ++id) entries.push_back(Entry(json, id));
  std::string error;
  std::unique_ptr<SentencePieceDoor> door = SentencePieceDoor::Open(entries, error);
  if (door == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: SentencePiece refuses its pieces: ", error));
  }
  return WordEncoder(vocabulary, std::move(door));
}

void WordEncoder::AppendIds(absl::string_view word, std::vector<TokenId>& ids) const {
  if (word.size() > kWindowBytes && AppendIdsByWindows(word, ids)) return;
  AppendIdsWhole(word, ids);
}

void WordEncoder::AppendIdsWhole(absl::string_view word, std::vector<TokenId>& ids) const {
  std::vector<int> word_ids;
  CHECK(door_->Encode({word.data(), word.size()}, word_ids));
  ids.insert(ids.end(), word_ids.begin(), word_ids.end());
}

// The ids of a text are right if and only if every two neighbours stay apart when encoded alone:
// merges go by rank, then from the left, so until the first merge across a border both sides do
// exactly what they do alone. So windows may begin wherever an id of the window before ended, as
// long as the two ids at that border stay apart; where they do not, the border moves one id back.
// False, with `ids` unchanged, when borders keep moving; no vocabulary met so far does that.
bool WordEncoder::AppendIdsByWindows(absl::string_view word, std::vector<TokenId>& ids) const {
  std::vector<TokenId> word_ids;
  size_t done = 0;  // bytes of `word` that word_ids cover
  for (size_t tries = 64 + 4 * word.size() / kWindowBytes; done < word.size(); --tries) {
    const absl::string_view rest = word.substr(done);
    const absl::string_view window = rest.substr(0, CodePointBoundaryAtMost(rest, kWindowBytes));
    const std::vector<TokenId> window_ids = WindowIds(window, window.size() == rest.size());
    if (tries == 0 || window_ids.empty()) return false;
    if (!word_ids.empty() && !StayApart(word_ids.back(), window_ids.front())) {
      done -= Length(word_ids.back());
      word_ids.pop_back();
      continue;
    }
    for (const TokenId id : window_ids) done += Length(id);
    word_ids.insert(word_ids.end(), window_ids.begin(), window_ids.end());
  }
  ids.insert(ids.end(), word_ids.begin(), word_ids.end());
  return true;
}

// The ids of `window`; unless it is the word's last, without those that end in its tail, and so
// that the rest ends between two characters.
std::vector<TokenId> WordEncoder::WindowIds(absl::string_view window, bool is_last) const {
  std::vector<TokenId> ids;
  AppendIdsWhole(window, ids);
  size_t end = 0;
  for (const TokenId id : ids) end += Length(id);
  CHECK(end == window.size());
  if (is_last) return ids;
  while (!ids.empty() && (end + kTailBytes > window.size() || IsContinuation(window[end]))) {
    end -= Length(ids.back());
    ids.pop_back();
  }
  return ids;
}

// Bytes stand for a character that no piece holds, which never merges.
bool WordEncoder::StayApart(TokenId left, TokenId right) const {
  if (vocabulary_->kind(left) == PieceKind::kByte) return true;
  if (vocabulary_->kind(right) == PieceKind::kByte) return true;
  std::vector<TokenId> both;
  AppendIdsWhole(absl::StrCat(vocabulary_->bytes(left), vocabulary_->bytes(right)), both);
  return both == std::vector<TokenId>{left, right};
}

}  // namespace cleave
