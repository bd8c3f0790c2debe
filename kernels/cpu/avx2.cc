#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/table.h"

namespace cleave::cpu {

const Operations& Avx2Operations() {
  static constexpr Operations kOperations = MakeOperations<SimdAvx2>("avx2");
  return kOperations;
}

}  // namespace cleave::cpu
