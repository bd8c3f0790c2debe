#include "tokenizer/vocabulary.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr absl::string_view kSpaceMark = "\u2581";
constexpr absl::string_view kConfigName = "tokenizer_config.json";

// A role, its name in tokenizer_config.json and its spelling where that file does not say.
struct Role {
  const char* config_key;
  const char* spelling;
  TokenId SpecialTokens::*id;
};

constexpr Role kRoles[] = {
    {"bos_token", "<bos>", &SpecialTokens::bos},
    {"sot_token", "<|turn>", &SpecialTokens::turn_begin},
    {"eot_token", "<turn|>", &SpecialTokens::turn_end},
    {"soc_token", "<|channel>", &SpecialTokens::channel_begin},
    {"eoc_token", "<channel|>", &SpecialTokens::channel_end},
    {"think_token", "<|think|>", &SpecialTokens::think},
    {"std_token", "<|tool>", &SpecialTokens::tool_begin},
    {"etd_token", "<tool|>", &SpecialTokens::tool_end},
    {"stc_token", "<|tool_call>", &SpecialTokens::tool_call_begin},
    {"etc_token", "<tool_call|>", &SpecialTokens::tool_call_end},
    {"str_token", "<|tool_response>", &SpecialTokens::tool_response_begin},
    {"etr_token", "<tool_response|>", &SpecialTokens::tool_response_end},
    {"escape_token", "<|\"|>", &SpecialTokens::quote},
    {"boi_token", "<|image>", &SpecialTokens::image_begin},
    {"image_token", "<|image|>", &SpecialTokens::image_soft},
    {"eoi_token", "<image|>", &SpecialTokens::image_end},
    {"boa_token", "<|audio>", &SpecialTokens::audio_begin},
    {"audio_token", "<|audio|>", &SpecialTokens::audio_soft},
    {"eoa_token", "<audio|>", &SpecialTokens::audio_end},
    {"video_token", "<|video|>", &SpecialTokens::video_soft},
};

struct OptionalRole {
  const char* config_key;
  const char* spelling;
  std::optional<TokenId> SpecialTokens::*id;
};

constexpr OptionalRole kOptionalRoles[] = {
    {"eos_token", "<eos>", &SpecialTokens::eos},
    {"pad_token", "<pad>", &SpecialTokens::pad},
};

// A spelling stands under its key as a string or as an object with "content".
absl::StatusOr<std::string> Spelling(const JsonValue& parent, const char* key) {
  ASSIGN_OR_RETURN(const JsonValue value, parent.Member(key));
  if (!value.IsString()) return value.String("content");
  ASSIGN_OR_RETURN(const absl::string_view spelling, value.AsString());
  return std::string(spelling);
}

// The file's spelling for `key`, at its top or in one of the objects where writers put the names
// that only some models have; absent when it does not say.
absl::StatusOr<std::optional<std::string>> ConfiguredSpelling(const JsonValue& config,
                                                              const char* key) {
  std::vector<JsonValue> places = {config};
  for (const char* group : {"model_specific_special_tokens", "extra_special_tokens"}) {
    if (!config.Has(group)) continue;
    ASSIGN_OR_RETURN(const JsonValue member, config.Member(group));
    if (member.IsObject()) places.push_back(member);
  }
  for (const JsonValue& place : places) {
    if (!place.Has(key)) continue;
    ASSIGN_OR_RETURN(std::string spelling, Spelling(place, key));
    return std::optional<std::string>(std::move(spelling));
  }
  return std::optional<std::string>();
}

}  // namespace

absl::StatusOr<std::string> ReadTokenizerConfig(const std::string& folder) {
  absl::StatusOr<std::string> config = ReadFile(absl::StrCat(folder, "/", kConfigName));
  if (absl::IsNotFound(config.status())) return std::string();
  return config;
}

absl::StatusOr<Vocabulary> Vocabulary::Load(const std::string& folder) {
  ASSIGN_OR_RETURN(const TokenizerJson json, TokenizerJson::Load(folder));
  ASSIGN_OR_RETURN(const std::string config, ReadTokenizerConfig(folder));
  return Create(json, config);
}

absl::StatusOr<Vocabulary> Vocabulary::Create(const TokenizerJson& json, absl::string_view config) {
  Vocabulary vocabulary;
  vocabulary.ends_.reserve(json.pieces.size() + 1);
  vocabulary.ends_.push_back(0);
  vocabulary.kinds_.reserve(json.pieces.size());
  for (const TokenizerJson::Piece& piece : json.pieces) vocabulary.AddPiece(piece);
  RETURN_IF_ERROR(vocabulary.FindSpecialTokens(config));
  return vocabulary;
}

void Vocabulary::AddPiece(const TokenizerJson::Piece& piece) {
  const TokenId id = size();
  kinds_.push_back(piece.kind);
  switch (piece.kind) {
    case PieceKind::kByte:
      arena_.push_back(static_cast<char>(piece.byte));
      break;
    case PieceKind::kControl:
      arena_.append(piece.spelling.data(), piece.spelling.size());
      controls_.push_back(id);
      control_of_.emplace(piece.spelling, id);
      break;
    case PieceKind::kText:
    case PieceKind::kUnmergeable:
      absl::StrAppend(&arena_, absl::StrReplaceAll(piece.spelling, {{kSpaceMark, " "}}));
  }
  ends_.push_back(static_cast<uint32_t>(arena_.size()));
}

absl::Status Vocabulary::FindSpecialTokens(absl::string_view config) {
  ASSIGN_OR_RETURN(const JsonDocument document,
                   JsonDocument::Parse(config.empty() ? "{}" : config, kConfigName));
  const JsonValue root = document.root();
  for (const Role& role : kRoles) {
    ASSIGN_OR_RETURN(const std::optional<std::string> configured,
                     ConfiguredSpelling(root, role.config_key));
    const std::string spelling = configured.value_or(role.spelling);
    const std::optional<TokenId> id = FindControl(spelling);
    if (!id) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: the chat format needs \"",
                                                     spelling, "\" (", role.config_key,
                                                     "), which is not among the added tokens"));
    }
    special_.*role.id = *id;
  }
  for (const OptionalRole& role : kOptionalRoles) {
    ASSIGN_OR_RETURN(const std::optional<std::string> configured,
                     ConfiguredSpelling(root, role.config_key));
    special_.*role.id = FindControl(configured.value_or(role.spelling));
  }
  return absl::OkStatus();
}

std::optional<TokenId> Vocabulary::FindControl(absl::string_view spelling) const {
  const auto found = control_of_.find(spelling);
  if (found == control_of_.end()) return std::nullopt;
  return found->second;
}

}  // namespace cleave
