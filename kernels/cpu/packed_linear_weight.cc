#include "kernels/cpu/packed_linear_weight.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/bfloat16.h"
#include "runtime/base/status.h"

namespace cleave::cpu {
namespace {

// Place of input k of output i inside a panel.
template <class Element>
constexpr int64_t InPanel(int64_t k, int64_t i);
template <>
constexpr int64_t InPanel<BFloat16>(int64_t k, int64_t i) {
  return (k / 2 * kPanelOutputs + i) * 2 + k % 2;
}
template <>
constexpr int64_t InPanel<float>(int64_t k, int64_t i) {
  return k * kPanelOutputs + i;
}

// The panel was zeroed before.
template <class Element>
void PackPanel(const Element* source, const PackedWeights& weights, int64_t index, Element* panel) {
  const int64_t first = index * kPanelOutputs;
  const int64_t outputs = std::min<int64_t>(kPanelOutputs, weights.outputs - first);
  for (int64_t i = 0; i < outputs; ++i) {
    const Element* row = source + (first + i) * weights.inputs;
    for (int64_t k = 0; k < weights.inputs; ++k) panel[InPanel<Element>(k, i)] = row[k];
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackedLinearWeight>> PackedLinearWeight::Pack(
    const HostMatrix& source, Device& device, ThreadPool& pool) {
  if (source.dtype != DType::kFloat32 && source.dtype != DType::kBFloat16) {
    return absl::InvalidArgumentError(
        absl::StrCat("a weight matrix is ", DTypeName(source.dtype), ", not float32 or bfloat16"));
  }
  PackedWeights weights{.dtype = source.dtype, .outputs = source.rows, .inputs = source.cols};
  const int64_t panels = (source.rows + kPanelOutputs - 1) / kPanelOutputs;
  const size_t bytes =
      static_cast<size_t>(panels * weights.panel_elements()) * DTypeBytes(source.dtype);
  ASSIGN_OR_RETURN(Buffer buffer, device.Allocate(bytes));
  weights.data = buffer.data();
  const auto pack = [&](auto* to) {
    const auto* from = static_cast<decltype(to)>(const_cast<void*>(source.data));
    pool.Run(panels, [&](int64_t panel, int) {
      PackPanel(from, weights, panel, to + panel * weights.panel_elements());
    });
  };
  if (source.dtype == DType::kBFloat16) {
    pack(static_cast<BFloat16*>(buffer.data()));
  } else {
    pack(static_cast<float*>(buffer.data()));
  }
  return std::unique_ptr<PackedLinearWeight>(new PackedLinearWeight(std::move(buffer), weights));
}

void PackedLinearWeight::ReadRow(int64_t output, float* out) const {
  CHECK(output >= 0 && output < weights_.outputs);
  const int64_t panel = output / kPanelOutputs * weights_.panel_elements();
  const int64_t i = output % kPanelOutputs;
  for (int64_t k = 0; k < weights_.inputs; ++k) {
    out[k] =
        weights_.dtype == DType::kBFloat16
            ? ToFloat(static_cast<const BFloat16*>(weights_.data)[panel + InPanel<BFloat16>(k, i)])
            : static_cast<const float*>(weights_.data)[panel + InPanel<float>(k, i)];
  }
}

}  // namespace cleave::cpu
