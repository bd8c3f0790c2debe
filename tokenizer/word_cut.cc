#include "tokenizer/word_cut.h"

#include "tokenizer/utf8.h"

namespace cleave {
namespace {

// Gemma 4 has 30,506 pairs beyond ASCII: 3 % of the bits.
constexpr int kHashBits = 20;

size_t PairHash(char32_t left, char32_t right) {
  const uint64_t pair = uint64_t{left} << 21 | right;
  return static_cast<size_t>((pair * 0x9E3779B97F4A7C15u) >> (64 - kHashBits));
}

// Reads the character at the front of well-formed text.
Utf8Prefix ReadFront(absl::string_view text) {
  const auto byte = static_cast<uint8_t>(text[0]);
  if (byte < 0x80) return {Utf8State::kComplete, 1, byte};
  return ReadUtf8(text);
}

}  // namespace

WordCut::WordCut() : other_pairs_((size_t{1} << kHashBits) / 64) {}

void WordCut::AddPiece(absl::string_view piece) {
  Utf8Prefix left = ReadFront(piece);
  piece.remove_prefix(left.length);
  while (!piece.empty()) {
    const Utf8Prefix right = ReadFront(piece);
    if (left.code_point < 128 && right.code_point < 128) {
      const size_t bit = left.code_point * 128 + right.code_point;
      ascii_pairs_[bit / 64] |= uint64_t{1} << bit % 64;
    } else {
      const size_t bit = PairHash(left.code_point, right.code_point);
      other_pairs_[bit / 64] |= uint64_t{1} << bit % 64;
    }
    piece.remove_prefix(right.length);
    left = right;
  }
}

bool WordCut::Joined(char32_t left, char32_t right) const {
  if (left < 128 && right < 128) {
    const size_t bit = left * 128 + right;
    return (ascii_pairs_[bit / 64] >> bit % 64 & 1) != 0;
  }
  const size_t bit = PairHash(left, right);
  return (other_pairs_[bit / 64] >> bit % 64 & 1) != 0;
}

size_t WordCut::FirstWord(absl::string_view text) const {
  Utf8Prefix left = ReadFront(text);
  size_t position = left.length;
  while (position < text.size()) {
    const Utf8Prefix right = ReadFront(text.substr(position));
    if (!Joined(left.code_point, right.code_point)) break;
    position += right.length;
    left = right;
  }
  return position;
}

}  // namespace cleave
