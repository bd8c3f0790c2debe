// AVX-512 with the dot product of bfloat16 pairs. Only for files compiled for that ISA.
#pragma once

#include "kernels/cpu/simd_avx512.h"

namespace cleave::cpu {

struct SimdAvx512BFloat16 : SimdAvx512 {
  static constexpr bool kHasBFloat16Dot = true;

  // sum + a[2i] * b[2i] + a[2i + 1] * b[2i + 1] in lane i. `pair` is one pair for all lanes.
  CLEAVE_SIMD Float DotPairs(Float sum, const BFloat16* weight_pairs, uint32_t pair) {
    const __m512i weights = _mm512_loadu_si512(weight_pairs);
    const __m512i broadcast = _mm512_set1_epi32(static_cast<int>(pair));
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(weights),
                            reinterpret_cast<__m512bh>(broadcast));
  }
};

}  // namespace cleave::cpu
