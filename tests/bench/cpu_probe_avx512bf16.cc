#include "kernels/cpu/simd_avx512_bf16.h"
#include "tests/bench/cpu_probe_loops.h"

namespace cleave::bench {

const CpuProbe& Avx512BFloat16Probe() {
  static constexpr CpuProbe kProbe = MakeProbe<cpu::SimdAvx512BFloat16>("avx512bf16");
  return kProbe;
}

}  // namespace cleave::bench
