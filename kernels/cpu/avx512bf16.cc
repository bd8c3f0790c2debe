#include "kernels/cpu/simd_avx512_bf16.h"
#include "kernels/cpu/table.h"

namespace cleave::cpu {

const Operations& Avx512BFloat16Operations() {
  static constexpr Operations kOperations = MakeOperations<SimdAvx512BFloat16>("avx512bf16");
  return kOperations;
}

}  // namespace cleave::cpu
