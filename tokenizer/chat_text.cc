#include "tokenizer/chat_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

// What Python's str.strip() removes, as the reference's template engine does.
bool IsWhitespace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

// The last code point's bytes of `text`, which is not empty.
absl::string_view LastCodePoint(absl::string_view text) {
  return text.substr(CodePointBoundaryAtMost(text, text.size() - 1));
}

absl::string_view TrimFront(absl::string_view text) {
  while (!text.empty()) {
    const Utf8Prefix first = ReadUtf8(text);
    if (!IsWhitespace(first.code_point)) break;
    text.remove_prefix(first.length);
  }
  return text;
}

absl::string_view TrimBack(absl::string_view text) {
  while (!text.empty()) {
    const absl::string_view last = LastCodePoint(text);
    if (!IsWhitespace(ReadUtf8(last).code_point)) break;
    text.remove_suffix(last.size());
  }
  return text;
}

}  // namespace

absl::string_view TrimWhitespace(absl::string_view text) { return TrimBack(TrimFront(text)); }

std::string StripThoughts(absl::string_view text, absl::string_view channel_begin,
                          absl::string_view channel_end) {
  std::string kept;
  for (const absl::string_view piece : absl::StrSplit(text, channel_end)) {
    absl::StrAppend(&kept, piece.substr(0, piece.find(channel_begin)));
  }
  return std::string(TrimWhitespace(kept));
}

void StreamTrimmer::Push(absl::string_view piece, std::string& out) {
  if (!started_) piece = TrimFront(piece);
  if (piece.empty()) return;
  started_ = true;
  const absl::string_view kept = TrimBack(piece);
  if (!kept.empty()) {
    absl::StrAppend(&out, held_, kept);
    held_.clear();
  }
  absl::StrAppend(&held_, piece.substr(kept.size()));
}

}  // namespace cleave
