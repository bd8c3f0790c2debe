// Vectors of 16 floats on AVX-512 (F, BW, DQ, VL). Only for files compiled for that ISA.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/base/bfloat16.h"

#define CLEAVE_SIMD [[gnu::always_inline]] static inline

namespace cleave::cpu {

// The operations that every ISA's struct has; simd_avx2.h has the same with 8 lanes. "Part" loads
// and stores touch `count` lanes only; the others read as 0.
struct SimdAvx512 {
  static constexpr int kLanes = 16;
  // Rows and panels of a linear layer's tile, vectors of a value tile: what the registers hold.
  static constexpr int PanelsOfTile(int /*rows*/) { return 4; }
  static constexpr int kValueVectors = 4;
  static constexpr bool kHasBFloat16Dot = false;
  using Float = __m512;

  CLEAVE_SIMD Float Zero() { return _mm512_setzero_ps(); }
  CLEAVE_SIMD Float Set(float value) { return _mm512_set1_ps(value); }
  CLEAVE_SIMD Float Load(const float* from) { return _mm512_loadu_ps(from); }
  CLEAVE_SIMD Float Load(const BFloat16* from) {
    return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  CLEAVE_SIMD Float Load(const uint8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }
  CLEAVE_SIMD Float LoadPart(const float* from, int count) {
    return _mm512_maskz_loadu_ps(FirstLanes(count), from);
  }
  CLEAVE_SIMD Float LoadPart(const BFloat16* from, int count) {
    return Widen(_mm256_maskz_loadu_epi16(FirstLanes(count), from));
  }
  CLEAVE_SIMD Float LoadPart(const uint8_t* from, int count) {
    const __m128i bytes = _mm_maskz_loadu_epi8(FirstLanes(count), from);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }
  CLEAVE_SIMD void Store(float* to, Float value) { _mm512_storeu_ps(to, value); }
  CLEAVE_SIMD void Store(BFloat16* to, Float value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), Narrow(value));
  }
  CLEAVE_SIMD void StorePart(float* to, Float value, int count) {
    _mm512_mask_storeu_ps(to, FirstLanes(count), value);
  }
  CLEAVE_SIMD void StorePart(BFloat16* to, Float value, int count) {
    _mm256_mask_storeu_epi16(to, FirstLanes(count), Narrow(value));
  }
  // Of 16 pairs of bfloat16, the first and the second of each.
  CLEAVE_SIMD Float LoadFirsts(const BFloat16* pairs) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(pairs), 16));
  }
  CLEAVE_SIMD Float LoadSeconds(const BFloat16* pairs) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(pairs), upper));
  }

  CLEAVE_SIMD Float Add(Float a, Float b) { return _mm512_add_ps(a, b); }
  CLEAVE_SIMD Float Subtract(Float a, Float b) { return _mm512_sub_ps(a, b); }
  CLEAVE_SIMD Float Multiply(Float a, Float b) { return _mm512_mul_ps(a, b); }
  CLEAVE_SIMD Float Divide(Float a, Float b) { return _mm512_div_ps(a, b); }
  // a * b + c, rounded once.
  CLEAVE_SIMD Float MultiplyAdd(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  CLEAVE_SIMD Float Max(Float a, Float b) { return _mm512_max_ps(a, b); }
  CLEAVE_SIMD Float Min(Float a, Float b) { return _mm512_min_ps(a, b); }
  CLEAVE_SIMD Float Magnitude(Float a) { return _mm512_abs_ps(a); }
  // `magnitude` with the sign of `sign`.
  CLEAVE_SIMD Float WithSign(Float magnitude, Float sign) {
    return _mm512_or_ps(magnitude, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
  }
  CLEAVE_SIMD Float RoundToInteger(Float a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // 2^n for an integer n of -126 to 127.
  CLEAVE_SIMD Float PowerOfTwo(Float n) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
  }
  // a < b ? yes : no, lane by lane.
  CLEAVE_SIMD Float IfLess(Float a, Float b, Float yes, Float no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }

  // Sums over the lanes of four vectors, in one order that does not depend on their neighbours.
  CLEAVE_SIMD __m128 SumEach(Float a, Float b, Float c, Float d) {
    __m128 x = Fold(a), y = Fold(b), z = Fold(c), w = Fold(d);
    _MM_TRANSPOSE4_PS(x, y, z, w);
    return _mm_add_ps(_mm_add_ps(x, y), _mm_add_ps(z, w));
  }
  CLEAVE_SIMD float Sum(Float a) { return _mm_cvtss_f32(SumEach(a, a, a, a)); }
  CLEAVE_SIMD float Largest(Float a) { return _mm512_reduce_max_ps(a); }

 private:
  CLEAVE_SIMD __mmask16 FirstLanes(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
  CLEAVE_SIMD Float Widen(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  // To nearest, ties to even; NaN stays NaN: as ToBFloat16.
  CLEAVE_SIMD __m256i Narrow(Float value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __m512i rounded = _mm512_add_epi32(bits, bias);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i chosen = _mm512_mask_blend_epi32(is_nan, rounded, quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16));
  }
  CLEAVE_SIMD __m128 Fold(Float a) {
    const __m256 upper = _mm512_extractf32x8_ps(a, 1);
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), upper);
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  }
};

}  // namespace cleave::cpu
