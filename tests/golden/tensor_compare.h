// Golden tensors as floats, and how far a value is from one.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "model/safetensors.h"

namespace cleave::golden {

std::vector<float> Floats(const StoredTensor& tensor);
std::vector<int32_t> Ints(const StoredTensor& tensor);

// max|a - b| / max|b| over the whole tensor, b the golden one; NaN where a size differs or a is
// NaN.
double RelativeError(absl::Span<const float> a, absl::Span<const float> b);
double MeanAbsoluteError(absl::Span<const float> a, absl::Span<const float> b);

// [rows][heads * dim] to [heads][rows][dim].
std::vector<float> HeadsFirst(absl::Span<const float> values, int64_t rows, int64_t dim);

}  // namespace cleave::golden
