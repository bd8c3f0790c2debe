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

template <class S>
float Read(const void* data, size_t bytes) {
  const auto* floats = static_cast<const float*>(data);
  const size_t stream = bytes / sizeof(float) / 4;
  typename S::Float sums[4] = {S::Zero(), S::Zero(), S::Zero(), S::Zero()};
  for (size_t i = 0; i + S::kLanes <= stream; i += S::kLanes) {
    for (int s = 0; s < 4; ++s) {
      sums[s] = S::Add(sums[s], S::Load(floats + static_cast<size_t>(s) * stream + i));
    }
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
          .read = Read<S>,
          .flops_per_round = kFlops,
          .multiply = Multiply<S>,
          .bfloat16_flops_per_round = S::kHasBFloat16Dot ? 2 * kFlops : kFlops,
          .multiply_bfloat16 = MultiplyBFloat16<S>};
}

}  // namespace cleave::bench
