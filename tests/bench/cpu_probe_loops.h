// The probes' loops, for the files that are compiled for one ISA each.
#pragma once

#include "kernels/cpu/simd_avx2.h"
#include "tests/bench/cpu_probe.h"

namespace cleave::bench {

inline constexpr int kSums = 16;

template <class S>
float SumOfAll(const typename S::Float (&sums)[kSums]) {
  auto total = sums[0];
  for (int i = 1; i < kSums; ++i) total = S::Add(total, sums[i]);
  return S::Sum(total);
}

template <class S, size_t kStreams>
float Read(const void* data, size_t bytes) {
  // Short streams follow each other, as the panels of a weight matrix do.
  constexpr size_t kStream = size_t{128} << 10;
  constexpr size_t kFloats = kStream / sizeof(float);
  typename S::Float sums[4] = {S::Zero(), S::Zero(), S::Zero(), S::Zero()};
  const auto* floats = static_cast<const float*>(data);
  for (size_t done = 0; done + kStreams * kStream <= bytes; done += kStreams * kStream) {
    for (size_t i = 0; i + 4 * S::kLanes / kStreams <= kFloats; i += 4 * S::kLanes / kStreams) {
      for (size_t s = 0; s < 4; ++s) {
        const size_t at = s % kStreams * kFloats + i + s / kStreams * S::kLanes;
        sums[s] = S::Add(sums[s], S::Load(floats + at));
      }
    }
    floats += kStreams * kFloats;
  }
  return S::Sum(S::Add(S::Add(sums[0], sums[1]), S::Add(sums[2], sums[3])));
}

template <class S>
float Multiply(int64_t rounds) {
  typename S::Float sums[kSums];
  for (auto& sum : sums) sum = S::Set(1.0f);
  auto factor = S::Set(0.999999f);
  for (int64_t round = 0; round < rounds; ++round) {
    for (auto& sum : sums) sum = S::MultiplyAdd(factor, factor, sum);
    asm volatile("" : "+x"(factor));
  }
  return SumOfAll<S>(sums);
}

template <class S>
float MultiplyBFloat16(int64_t rounds) {
  if constexpr (S::kHasBFloat16Dot) {
    alignas(64) static const BFloat16 kWeights[2 * S::kLanes] = {};
    typename S::Float sums[kSums];
    for (auto& sum : sums) sum = S::Set(1.0f);
    uint32_t pair = 0x3f803f80;
    for (int64_t round = 0; round < rounds; ++round) {
      for (auto& sum : sums) sum = S::DotPairs(sum, kWeights, pair);
      asm volatile("" : "+r"(pair));
    }
    return SumOfAll<S>(sums);
  } else {
    return Multiply<S>(rounds);
  }
}

template <class S>
constexpr CpuProbe MakeProbe(const char* isa) {
  constexpr double kFlops = 2.0 * S::kLanes * kSums;
  return {.isa = isa,
          .read_one_stream = Read<S, 1>,
          .read_four_streams = Read<S, 4>,
          .flops_per_round = kFlops,
          .multiply = Multiply<S>,
          .bfloat16_flops_per_round = S::kHasBFloat16Dot ? 2 * kFlops : kFlops,
          .multiply_bfloat16 = MultiplyBFloat16<S>};
}

}  // namespace cleave::bench
