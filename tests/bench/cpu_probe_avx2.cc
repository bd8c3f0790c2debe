#include "tests/bench/cpu_probe_loops.h"

namespace cleave::bench {

const CpuProbe& Avx2Probe() {
  static constexpr CpuProbe kProbe = MakeProbe<cpu::SimdAvx2>("avx2");
  return kProbe;
}

}  // namespace cleave::bench
