// What each token id means: the bytes it prints, and which ids the chat format gives a role. Knows
// no SentencePiece, so the engine (grammar, stop rules) can use it alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tokenizer/tokenizer_json.h"

namespace cleave {

// The added tokens that the chat format needs, by role. In brackets Gemma 4's spelling.
struct SpecialTokens {
  TokenId bos = 0;                  // <bos>
  TokenId turn_begin = 0;           // <|turn>
  TokenId turn_end = 0;             // <turn|>
  TokenId channel_begin = 0;        // <|channel>
  TokenId channel_end = 0;          // <channel|>
  TokenId think = 0;                // <|think|>
  TokenId tool_begin = 0;           // <|tool>
  TokenId tool_end = 0;             // <tool|>
  TokenId tool_call_begin = 0;      // <|tool_call>
  TokenId tool_call_end = 0;        // <tool_call|>
  TokenId tool_response_begin = 0;  // <|tool_response>
  TokenId tool_response_end = 0;    // <tool_response|>
  TokenId quote = 0;                // <|"|>
  TokenId image_begin = 0;          // <|image>
  TokenId image_soft = 0;           // <|image|>
  TokenId image_end = 0;            // <image|>
  TokenId audio_begin = 0;          // <|audio>
  TokenId audio_soft = 0;           // <|audio|>
  TokenId audio_end = 0;            // <audio|>
  TokenId video_soft = 0;           // <|video|>; its frames use image_begin and image_end
  std::optional<TokenId> eos;       // <eos>
  std::optional<TokenId> pad;       // <pad>
};

// Immutable after creation, so any thread may read it. About 4 MB for Gemma 4's 262,144 pieces.
class Vocabulary {
 public:
  // Reads tokenizer.json and, where present, tokenizer_config.json of a checkpoint folder. The
  // latter may name other spellings ("sot_token": "<|turn>", ...); without it Gemma 4's are looked
  // for. NOT_FOUND without tokenizer.json; INVALID_ARGUMENT, naming file and place, when one is
  // malformed (tokenizer_json.h) or an added token that the chat format needs is missing.
  static absl::StatusOr<Vocabulary> Load(const std::string& folder);

  // The same from content in memory. `config` is tokenizer_config.json's, empty when there is none.
  static absl::StatusOr<Vocabulary> Create(const TokenizerJson& json, absl::string_view config);

  int size() const { return static_cast<int>(kinds_.size()); }
  // Ids that come from elsewhere (a worker, a client) are asked about first; every method below
  // needs an id for which this is true.
  bool Contains(TokenId id) const { return id >= 0 && id < size(); }

  PieceKind kind(TokenId id) const { return kinds_[static_cast<size_t>(id)]; }
  bool IsControl(TokenId id) const { return kind(id) == PieceKind::kControl; }

  // What the id prints: text with spaces as spaces, the one byte of a byte piece (which need not be
  // UTF-8 alone), the spelling of a control token.
  absl::string_view bytes(TokenId id) const {
    const auto i = static_cast<size_t>(id);
    return absl::string_view(arena_).substr(ends_[i], ends_[i + 1] - ends_[i]);
  }

  const SpecialTokens& special() const { return special_; }
  // All added tokens, ascending.
  absl::Span<const TokenId> controls() const { return controls_; }
  // The added token of that spelling; absent when there is none.
  std::optional<TokenId> FindControl(absl::string_view spelling) const;

 private:
  Vocabulary() = default;
  void AddPiece(const TokenizerJson::Piece& piece);
  absl::Status FindSpecialTokens(absl::string_view config);

  std::string arena_;             // all bytes(), one after the other
  std::vector<uint32_t> ends_;    // [size + 1]; piece i is arena_[ends_[i], ends_[i + 1])
  std::vector<PieceKind> kinds_;  // [size]
  std::vector<TokenId> controls_;
  absl::flat_hash_map<std::string, TokenId> control_of_;
  SpecialTokens special_;
};

// The content of a folder's tokenizer_config.json; empty when there is no such file.
absl::StatusOr<std::string> ReadTokenizerConfig(const std::string& folder);

}  // namespace cleave
