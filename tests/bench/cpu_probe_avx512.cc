#include "kernels/cpu/simd_avx512.h"
#include "tests/bench/cpu_probe_loops.h"

namespace cleave::bench {

const CpuProbe& Avx512Probe() {
  static constexpr CpuProbe kProbe = MakeProbe<cpu::SimdAvx512>("avx512");
  return kProbe;
}

}  // namespace cleave::bench
