#include "tests/golden/tensor_compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/base/bfloat16.h"

namespace cleave::golden {

std::vector<float> Floats(const StoredTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (tensor.dtype == DType::kFloat32) {
      std::memcpy(&values[i], tensor.bytes.data() + 4 * i, 4);
    } else if (tensor.dtype == DType::kBFloat16) {
      uint16_t bits;
      std::memcpy(&bits, tensor.bytes.data() + 2 * i, 2);
      values[i] = ToFloat(BFloat16{bits});
    } else {
      CHECK(tensor.dtype == DType::kUInt8);
      values[i] = tensor.bytes[i];
    }
  }
  return values;
}

std::vector<int32_t> Ints(const StoredTensor& tensor) {
  CHECK(tensor.dtype == DType::kInt32);
  std::vector<int32_t> values(static_cast<size_t>(tensor.elements()));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

double RelativeError(absl::Span<const float> a, absl::Span<const float> b) {
  if (a.size() != b.size() || b.empty()) return std::numeric_limits<double>::quiet_NaN();
  double difference = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i])) return std::numeric_limits<double>::quiet_NaN();
    difference = std::max(difference, std::abs(double{a[i]} - b[i]));
    largest = std::max(largest, std::abs(double{b[i]}));
  }
  return difference == 0 ? 0 : difference / largest;
}

double MeanAbsoluteError(absl::Span<const float> a, absl::Span<const float> b) {
  if (a.size() != b.size() || b.empty()) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(double{a[i]} - b[i]);
  return sum / static_cast<double>(a.size());
}

std::vector<float> HeadsFirst(absl::Span<const float> values, int64_t rows, int64_t dim) {
  const int64_t heads = static_cast<int64_t>(values.size()) / rows / dim;
  std::vector<float> out(values.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t h = 0; h < heads; ++h) {
      std::copy_n(values.begin() + (r * heads + h) * dim, dim, out.begin() + (h * rows + r) * dim);
    }
  }
  return out;
}

}  // namespace cleave::golden
