// The operations of one ISA, from the templates.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/rows.h"

namespace cleave::cpu {

template <class S>
constexpr Operations MakeOperations(const char* name) {
  return {.name = name,
          .multiplies_bfloat16 = S::kHasBFloat16Dot,
          .pack_rows = PackRows<S>,
          .linear = Linear<S>,
          .attend = Attend<S>,
          .merge = MergePart<S>,
          .finish = FinishPart<S>,
          .convert = Convert<S>,
          .rms_norm = RmsNorm<S>,
          .layer_norm = LayerNorm<S>,
          .rotate = Rotate<S>,
          .gelu_multiply = GeluMultiply<S>,
          .add = Add<S>,
          .scale = Scale<S>,
          .softcap = Softcap<S>,
          .add_positions = AddPositions<S>};
}

}  // namespace cleave::cpu
