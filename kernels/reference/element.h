// Reading and writing single elements of host views, whatever their dtype.
#pragma once

#include <cstdint>

#include "runtime/base/bfloat16.h"
#include "runtime/device/tensor.h"

namespace cleave::reference {

inline float Load(const void* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kFloat32:
      return static_cast<const float*>(data)[index];
    case DType::kBFloat16:
      return ToFloat(static_cast<const BFloat16*>(data)[index]);
    case DType::kUInt8:
      return static_cast<const uint8_t*>(data)[index];
    case DType::kInt32:
      break;
  }
  CHECK(false);
}

inline void Store(void* data, DType dtype, int64_t index, float value) {
  if (dtype == DType::kFloat32) {
    static_cast<float*>(data)[index] = value;
  } else {
    CHECK(dtype == DType::kBFloat16);
    static_cast<BFloat16*>(data)[index] = ToBFloat16(value);
  }
}

inline float Round(float value, DType dtype) {
  return dtype == DType::kBFloat16 ? RoundToBFloat16(value) : value;
}

inline float Get(const TensorView& view, int64_t row, int64_t col) {
  return Load(view.data, view.dtype, row * view.row_stride + col);
}

inline void Set(const TensorView& view, int64_t row, int64_t col, float value) {
  Store(view.data, view.dtype, row * view.row_stride + col, value);
}

}  // namespace cleave::reference
