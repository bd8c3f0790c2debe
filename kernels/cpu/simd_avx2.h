// Vectors of 8 floats on AVX2 with FMA. Only for files compiled for that ISA. The operations are
// those of SimdAvx512.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "runtime/base/bfloat16.h"

#ifndef CLEAVE_SIMD
#define CLEAVE_SIMD [[gnu::always_inline]] static inline
#endif

namespace cleave::cpu {

struct SimdAvx2 {
  static constexpr int kLanes = 8;
  static constexpr int PanelsOfTile(int rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }
  static constexpr int kValueVectors = 2;
  static constexpr bool kHasBFloat16Dot = false;
  using Float = __m256;

  CLEAVE_SIMD Float Zero() { return _mm256_setzero_ps(); }
  CLEAVE_SIMD Float Set(float value) { return _mm256_set1_ps(value); }
  CLEAVE_SIMD Float Load(const float* from) { return _mm256_loadu_ps(from); }
  CLEAVE_SIMD Float Load(const BFloat16* from) {
    return Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  CLEAVE_SIMD Float Load(const uint8_t* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }
  template <class Element>
  CLEAVE_SIMD Float LoadPart(const Element* from, int count) {
    Element whole[kLanes] = {};
    std::memcpy(whole, from, static_cast<size_t>(count) * sizeof(Element));
    return Load(whole);
  }
  CLEAVE_SIMD void Store(float* to, Float value) { _mm256_storeu_ps(to, value); }
  CLEAVE_SIMD void Store(BFloat16* to, Float value) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), Narrow(value));
  }
  template <class Element>
  CLEAVE_SIMD void StorePart(Element* to, Float value, int count) {
    Element whole[kLanes];
    Store(whole, value);
    std::memcpy(to, whole, static_cast<size_t>(count) * sizeof(Element));
  }
  CLEAVE_SIMD Float LoadFirsts(const BFloat16* pairs) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(LoadBits(pairs), 16));
  }
  CLEAVE_SIMD Float LoadSeconds(const BFloat16* pairs) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm256_castsi256_ps(_mm256_and_si256(LoadBits(pairs), upper));
  }

  CLEAVE_SIMD Float Add(Float a, Float b) { return _mm256_add_ps(a, b); }
  CLEAVE_SIMD Float Subtract(Float a, Float b) { return _mm256_sub_ps(a, b); }
  CLEAVE_SIMD Float Multiply(Float a, Float b) { return _mm256_mul_ps(a, b); }
  CLEAVE_SIMD Float Divide(Float a, Float b) { return _mm256_div_ps(a, b); }
  CLEAVE_SIMD Float MultiplyAdd(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  CLEAVE_SIMD Float Max(Float a, Float b) { return _mm256_max_ps(a, b); }
  CLEAVE_SIMD Float Min(Float a, Float b) { return _mm256_min_ps(a, b); }
  CLEAVE_SIMD Float Magnitude(Float a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  CLEAVE_SIMD Float WithSign(Float magnitude, Float sign) {
    return _mm256_or_ps(magnitude, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
  }
  CLEAVE_SIMD Float RoundToInteger(Float a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  CLEAVE_SIMD Float PowerOfTwo(Float n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  }
  CLEAVE_SIMD Float IfLess(Float a, Float b, Float yes, Float no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }

  CLEAVE_SIMD __m128 SumEach(Float a, Float b, Float c, Float d) {
    __m128 x = Fold(a), y = Fold(b), z = Fold(c), w = Fold(d);
    _MM_TRANSPOSE4_PS(x, y, z, w);
    return _mm_add_ps(_mm_add_ps(x, y), _mm_add_ps(z, w));
  }
  CLEAVE_SIMD float Sum(Float a) { return _mm_cvtss_f32(SumEach(a, a, a, a)); }
  CLEAVE_SIMD float Largest(Float a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }

 private:
  CLEAVE_SIMD __m256i LoadBits(const BFloat16* pairs) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs));
  }
  CLEAVE_SIMD Float Widen(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  CLEAVE_SIMD __m128i Narrow(Float value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i rounded = _mm256_add_epi32(bits, bias);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256 is_nan = _mm256_cmp_ps(value, value, _CMP_UNORD_Q);
    const __m256i chosen = _mm256_castps_si256(
        _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet), is_nan));
    const __m256i upper = _mm256_srli_epi32(chosen, 16);
    const __m256i packed = _mm256_packus_epi32(upper, upper);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0b00'00'10'00));
  }
  CLEAVE_SIMD __m128 Fold(Float a) {
    return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  }
};

}  // namespace cleave::cpu
