#include "tokenizer/utf8.h"

#include <cstdint>
#include <cstring>

namespace cleave {
namespace {

// What may follow a lead byte: `length` 0 marks a byte that leads nothing. The first continuation
// byte has a range of its own, which excludes overlong forms, surrogates and values too large.
struct LeadByte {
  size_t length;
  uint8_t second_min, second_max;
};

LeadByte ReadLead(uint8_t lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// How many bytes at the start of `text` are ASCII, counted in whole groups of eight.
size_t AsciiGroups(absl::string_view text) {
  size_t position = 0;
  for (; position + 8 <= text.size(); position += 8) {
    uint64_t group = 0;
    std::memcpy(&group, text.data() + position, 8);
    if ((group & 0x8080808080808080u) != 0) break;
  }
  return position;
}

}  // namespace

Utf8Prefix ReadUtf8(absl::string_view bytes) {
  const auto lead = static_cast<uint8_t>(bytes[0]);
  const LeadByte form = ReadLead(lead);
  if (form.length == 0) return {Utf8State::kBroken, 0, 0};
  if (form.length == 1) return {Utf8State::kComplete, 1, lead};
  char32_t code_point = lead & (0x7Fu >> form.length);
  for (size_t i = 1; i < form.length; ++i) {
    if (i == bytes.size()) return {Utf8State::kPartial, 0, 0};
    const auto byte = static_cast<uint8_t>(bytes[i]);
    const uint8_t min = i == 1 ? form.second_min : 0x80;
    const uint8_t max = i == 1 ? form.second_max : 0xBF;
    if (byte < min || byte > max) return {Utf8State::kBroken, 0, 0};
    code_point = code_point << 6 | (byte & 0x3F);
  }
  return {Utf8State::kComplete, form.length, code_point};
}

std::optional<size_t> FindInvalidUtf8(absl::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    position += AsciiGroups(text.substr(position));
    if (position == text.size()) break;
    const Utf8Prefix prefix = ReadUtf8(text.substr(position));
    if (prefix.state != Utf8State::kComplete) return position;
    position += prefix.length;
  }
  return std::nullopt;
}

size_t CodePointBoundaryAtMost(absl::string_view text, size_t limit) {
  if (limit >= text.size()) return text.size();
  while (limit > 0 && IsContinuation(text[limit])) --limit;
  return limit;
}

}  // namespace cleave
