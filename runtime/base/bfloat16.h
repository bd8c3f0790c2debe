// bfloat16 as bits: the upper half of a float.
#pragma once

#include <bit>
#include <cstdint>

namespace cleave {

enum class BFloat16 : uint16_t {};

inline float ToFloat(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

// Rounds to nearest, ties to even. NaN stays NaN.
inline BFloat16 ToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return BFloat16{static_cast<uint16_t>(bits >> 16 | 0x40u)};
  return BFloat16{static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

// The nearest bfloat16, as a float.
inline float RoundToBFloat16(float value) { return ToFloat(ToBFloat16(value)); }

}  // namespace cleave
