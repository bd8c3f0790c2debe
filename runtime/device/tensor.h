// What a piece of device memory holds: its dtype, its device and its shape.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "runtime/base/check.h"

namespace cleave {

enum class DType : uint8_t { kFloat32, kBFloat16, kInt32, kUInt8 };

constexpr size_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kBFloat16:
      return 2;
    case DType::kUInt8:
      return 1;
  }
  return 0;
}

constexpr absl::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kInt32:
      return "int32";
    case DType::kUInt8:
      return "uint8";
  }
  return "";
}

enum class DeviceKind : uint8_t { kHost, kCuda };

struct DeviceId {
  DeviceKind kind = DeviceKind::kHost;
  int index = 0;
  friend bool operator==(DeviceId, DeviceId) = default;
};

// A matrix that lives on a device and is owned by somebody else. By value; never dereferenced
// outside the kernels of its device.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  DeviceId device;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements from one row to the next, at least cols

  bool empty() const { return data == nullptr; }
  size_t row_bytes() const { return static_cast<size_t>(cols) * DTypeBytes(dtype); }

  // `count` rows from row `first` on.
  TensorView Rows(int64_t first, int64_t count) const {
    CHECK(first >= 0 && count >= 0 && first + count <= rows);
    TensorView part = *this;
    part.data =
        static_cast<char*>(data) + static_cast<size_t>(first * row_stride) * DTypeBytes(dtype);
    part.rows = count;
    return part;
  }

  // `count` columns from column `first` on.
  TensorView Columns(int64_t first, int64_t count) const {
    CHECK(first >= 0 && count >= 0 && first + count <= cols);
    TensorView part = *this;
    part.data = static_cast<char*>(data) + static_cast<size_t>(first) * DTypeBytes(dtype);
    part.cols = count;
    return part;
  }

  // The same memory as rows of `new_cols`, for per-head work. Only for rows without gaps.
  TensorView Reshaped(int64_t new_cols) const {
    CHECK(row_stride == cols && rows * cols % new_cols == 0);
    TensorView shaped = *this;
    shaped.rows = rows * cols / new_cols;
    shaped.cols = new_cols;
    shaped.row_stride = new_cols;
    return shaped;
  }
};

}  // namespace cleave
