#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/table.h"

namespace cleave::cpu {

const Operations& Avx512Operations() {
  static constexpr Operations kOperations = MakeOperations<SimdAvx512>("avx512");
  return kOperations;
}

}  // namespace cleave::cpu
