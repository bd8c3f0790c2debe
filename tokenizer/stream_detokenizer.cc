#include "tokenizer/stream_detokenizer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/status.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

constexpr absl::string_view kReplacement = "\uFFFD";

void Append(absl::string_view piece, std::string& text) { text.append(piece.data(), piece.size()); }

}  // namespace

absl::Status StreamDetokenizer::Push(TokenId id, std::string& text) {
  if (!vocabulary_->Contains(id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("token id ", id, " is not in the vocabulary of ", vocabulary_->size()));
  }
  const absl::string_view bytes = vocabulary_->bytes(id);
  const PieceKind kind = vocabulary_->kind(id);
  if (kind == PieceKind::kByte) {
    PushByte(bytes[0], text);
    return absl::OkStatus();
  }
  Finish(text);
  if (kind != PieceKind::kControl || !skip_special_) Append(bytes, text);
  return absl::OkStatus();
}

// A broken sequence costs its first byte; the bytes after that are looked at afresh.
void StreamDetokenizer::PushByte(char byte, std::string& text) {
  held_.push_back(byte);
  absl::string_view rest = held_;
  while (!rest.empty()) {
    const Utf8Prefix prefix = ReadUtf8(rest);
    if (prefix.state == Utf8State::kPartial) break;
    const bool complete = prefix.state == Utf8State::kComplete;
    Append(complete ? rest.substr(0, prefix.length) : kReplacement, text);
    rest.remove_prefix(complete ? prefix.length : 1);
  }
  held_.erase(0, held_.size() - rest.size());
}

void StreamDetokenizer::Finish(std::string& text) {
  for (; !held_.empty(); held_.pop_back()) Append(kReplacement, text);
}

absl::StatusOr<std::string> Detokenize(const Vocabulary& vocabulary, absl::Span<const TokenId> ids,
                                       bool skip_special) {
  std::string text;
  StreamDetokenizer detokenizer(vocabulary, skip_special);
  for (const TokenId id : ids) RETURN_IF_ERROR(detokenizer.Push(id, text));
  detokenizer.Finish(text);
  return text;
}

}  // namespace cleave
