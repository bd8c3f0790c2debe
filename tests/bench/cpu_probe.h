// What this machine can do at most, measured: reading memory, multiplying and adding. The yardstick
// of kernels_bench, taken in the same run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cleave::bench {

// Instructions of one ISA; a thread's share of the work, best called by all threads at once.
struct CpuProbe {
  const char* isa;
  // Adds up `bytes` of memory; returns the sum. In one stream, and in four side by side: which is
  // faster depends on the processor and its neighbours.
  float (*read_one_stream)(const void* data, size_t bytes);
  float (*read_four_streams)(const void* data, size_t bytes);
  // Float operations of one round of `multiply`, which keeps 16 sums going.
  double flops_per_round;
  float (*multiply)(int64_t rounds);
  // The same in bfloat16 pairs where the ISA multiplies them, else as `multiply`.
  double bfloat16_flops_per_round;
  float (*multiply_bfloat16)(int64_t rounds);
};

const CpuProbe& Avx2Probe();
const CpuProbe& Avx512Probe();
const CpuProbe& Avx512BFloat16Probe();

}  // namespace cleave::bench
