#include "tokenizer/tokenizer.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

constexpr absl::string_view kSpaceMark = "\u2581";
constexpr size_t kIdleCachesMax = 8;
// Ordinary text has more bytes than this for each id.
constexpr size_t kBytesPerId = 3;

}  // namespace

absl::Status CheckUtf8(absl::string_view text, absl::string_view field) {
  const std::optional<size_t> offset = FindInvalidUtf8(text);
  if (!offset) return absl::OkStatus();
  return InvalidField(
      Reason::kTextNotUtf8, field, "well-formed UTF-8",
      absl::StrFormat("byte 0x%02X at offset %d", static_cast<uint8_t>(text[*offset]), *offset));
}

std::unique_ptr<WordCache> Tokenizer::CachePool::Take() {
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<WordCache> cache = std::move(idle_.back());
      idle_.pop_back();
      return cache;
    }
  }
  return std::make_unique<WordCache>();
}

void Tokenizer::CachePool::Return(std::unique_ptr<WordCache> cache) {
  MutexLock lock(mutex_);
  if (idle_.size() < kIdleCachesMax) idle_.push_back(std::move(cache));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Load(const std::string& folder) {
  ASSIGN_OR_RETURN(const TokenizerJson json, TokenizerJson::Load(folder));
  ASSIGN_OR_RETURN(const std::string config, ReadTokenizerConfig(folder));
  return FromJson(json, config);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Create(std::string tokenizer_json,
                                                                   absl::string_view config,
                                                                   absl::string_view name) {
  ASSIGN_OR_RETURN(const TokenizerJson json, TokenizerJson::Parse(std::move(tokenizer_json), name));
  return FromJson(json, config);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromJson(const TokenizerJson& json,
                                                                     absl::string_view config) {
  ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Create(json, config));
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(std::move(vocabulary)));
  for (TokenId id = 0; id < tokenizer->vocabulary_.size(); ++id) {
    if (tokenizer->vocabulary_.kind(id) != PieceKind::kText) continue;
    tokenizer->cut_.AddPiece(tokenizer->vocabulary_.bytes(id));
  }
  ASSIGN_OR_RETURN(WordEncoder encoder, WordEncoder::Create(json, tokenizer->vocabulary_));
  tokenizer->encoder_ = std::make_unique<const WordEncoder>(std::move(encoder));
  tokenizer->caches_.Return(std::make_unique<WordCache>());  // so that no request waits for one
  return std::unique_ptr<const Tokenizer>(std::move(tokenizer));
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(absl::string_view text,
                                                       bool match_special) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / kBytesPerId);
  if (!match_special) {
    RETURN_IF_ERROR(AppendText(text, ids));
    return ids;
  }
  RETURN_IF_ERROR(CheckUtf8(text, ""));
  while (!text.empty()) {
    const ControlMatch match = controls_.Find(text);
    RETURN_IF_ERROR(AppendText(text.substr(0, match.begin), ids));
    if (match.length > 0) ids.push_back(match.id);
    text.remove_prefix(match.begin + match.length);
  }
  return ids;
}

absl::Status Tokenizer::AppendText(absl::string_view text, std::vector<TokenId>& ids) const {
  RETURN_IF_ERROR(CheckUtf8(text, ""));
  std::unique_ptr<WordCache> cache = caches_.Take();
  if (absl::StrContains(text, kSpaceMark)) {
    AppendSegment(absl::StrReplaceAll(text, {{kSpaceMark, " "}}), *cache, ids);
  } else {
    AppendSegment(text, *cache, ids);
  }
  caches_.Return(std::move(cache));
  return absl::OkStatus();
}

// `text` is well-formed and holds no U+2581: that reads as a space.
void Tokenizer::AppendSegment(absl::string_view text, WordCache& cache,
                              std::vector<TokenId>& ids) const {
  while (!text.empty()) {
    const absl::string_view word = text.substr(0, cut_.FirstWord(text));
    text.remove_prefix(word.size());
    if (cache.AppendIds(word, ids)) continue;
    const size_t first = ids.size();
    encoder_->AppendIds(word, ids);
    cache.Insert(word, absl::MakeConstSpan(ids).subspan(first));
  }
}

}  // namespace cleave
