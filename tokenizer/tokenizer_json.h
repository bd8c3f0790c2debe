// Reads tokenizer.json (the format of Hugging Face `tokenizers`) as Gemma writes it: byte-pair
// merges over code points, byte fallback, spaces as U+2581. The file is treated as hostile.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cleave {

// A token's number in the vocabulary, as the model's embedding table counts: 0 to size - 1.
using TokenId = int32_t;

enum class PieceKind : uint8_t {
  kText,         // built from text by merges, or a single character
  kUnmergeable,  // no merge leads to it: no text encodes to it, but the model may emit it
                 // (<unused7>)
  kByte,         // one byte of a character that has no piece
  kControl,      // an added token: written by the template or the model, never made from text
};

// One file's content, checked. Move-only; holds the file's bytes, into which the pieces point.
struct TokenizerJson {
  struct Piece {
    absl::string_view spelling;  // as in the file: spaces are U+2581
    PieceKind kind = PieceKind::kUnmergeable;
    uint8_t byte = 0;         // of a kByte piece
    int32_t merge_rank = -1;  // of a kText piece made by merges: its first merge; lower goes first
  };

  std::vector<Piece> pieces;  // by id
  TokenId unknown = 0;        // the kControl piece named by model.unk_token
  int32_t merges = 0;         // how many the file lists
  std::unique_ptr<std::string> bytes;

  // `name` stands in error messages. INVALID_ARGUMENT, naming it and the place, unless: the file is
  // JSON of at most 256 MiB; the model is BPE with byte fallback and the normaliser maps spaces to
  // U+2581; ids are 0 to n - 1, each once; all 256 byte pieces exist; added tokens are special,
  // matched verbatim and longer than one character; merges name known pieces that are neither
  // added tokens nor bytes.
  static absl::StatusOr<TokenizerJson> Parse(std::string text, absl::string_view name);

  // The file tokenizer.json of a checkpoint folder.
  static absl::StatusOr<TokenizerJson> Load(const std::string& folder);
};

}  // namespace cleave
