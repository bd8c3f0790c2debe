#include "kernels/cpu/cpu_kernels.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/packed_linear_weight.h"
#include "runtime/base/status.h"

namespace cleave::cpu {
namespace {

// Elements worth a thread of their own: some ten microseconds of work.
constexpr int64_t kElementsPerItem = 32 * 1024;
// Products below which a linear layer is not worth a second thread.
constexpr int64_t kSmallLinear = 128 * 1024;

bool SameShape(const TensorView& a, const TensorView& b) {
  return a.rows == b.rows && a.cols == b.cols;
}

bool SameType(const TensorView& a, const TensorView& b, const TensorView& c) {
  return a.dtype == b.dtype && a.dtype == c.dtype;
}

bool IsActivation(const TensorView& view) {
  return view.dtype == DType::kFloat32 || view.dtype == DType::kBFloat16;
}

bool IsParameter(const TensorView& view, int64_t cols) {
  return view.dtype == DType::kFloat32 && view.cols == cols;
}

}  // namespace

CpuKernels::CpuKernels(Device& device, const Operations& operations, int threads)
    : device_(device), stream_(device.CreateStream()), operations_(operations), pool_(threads) {
  for (int i = 0; i < threads; ++i) workspaces_.push_back(std::make_unique<Workspace>());
}

std::string CpuKernels::fingerprint() const { return absl::StrCat("cpu-", operations_.name, "/1"); }

absl::StatusOr<std::unique_ptr<LinearWeight>> CpuKernels::LoadLinear(const HostMatrix& source) {
  const int64_t inputs = source.cols + source.cols % 2;
  const size_t bytes = static_cast<size_t>(kBlockRows * inputs) * sizeof(float);
  if (packed_rows_.bytes() < bytes) {
    ASSIGN_OR_RETURN(packed_rows_, device_.Allocate(bytes));
  }
  return PackedLinearWeight::Pack(source, device_, pool_);
}

absl::StatusOr<std::unique_ptr<BatchPlan>> CpuKernels::CreatePlan(const BatchLimits& limits) {
  return std::make_unique<CpuBatchPlan>(limits);
}

void CpuKernels::Fill(const Batch& batch, BatchPlan& plan) {
  static_cast<CpuBatchPlan&>(plan).Fill(batch);
}

void CpuKernels::RunItems(int64_t count, bool is_small, ThreadPool::Work work) {
  if (!is_small) return pool_.Run(count, work);
  for (int64_t item = 0; item < count; ++item) work(item, 0);
}

void CpuKernels::ForRows(int64_t rows, int64_t elements_per_row,
                         absl::FunctionRef<void(int64_t first, int64_t count)> run) {
  const int64_t rows_per_item = std::max<int64_t>(1, kElementsPerItem / elements_per_row);
  const int64_t items = (rows + rows_per_item - 1) / rows_per_item;
  pool_.Run(items, [&](int64_t item, int) {
    const int64_t first = item * rows_per_item;
    run(first, std::min(rows_per_item, rows - first));
  });
}

void CpuKernels::EmbedTokens(const BatchPlan& plan, const LinearWeight& table, float multiplier,
                             TensorView out) {
  const auto& batch = static_cast<const CpuBatchPlan&>(plan);
  const auto& weight = static_cast<const PackedLinearWeight&>(table);
  CHECK(out.rows == batch.rows() && out.cols == weight.inputs() && IsActivation(out));
  // Widened rows pass through the memory for packed ones.
  auto* widened = static_cast<float*>(packed_rows_.data());
  for (int64_t first = 0; first < out.rows; first += kBlockRows) {
    const int64_t rows = std::min<int64_t>(kBlockRows, out.rows - first);
    ForRows(rows, out.cols, [&](int64_t begin, int64_t count) {
      for (int64_t r = begin; r < begin + count; ++r) {
        weight.ReadRow(batch.token_id(first + r), widened + r * out.cols);
      }
      const TensorView part{.data = widened + begin * out.cols,
                            .dtype = DType::kFloat32,
                            .device = out.device,
                            .rows = count,
                            .cols = out.cols,
                            .row_stride = out.cols};
      operations_.scale(part, multiplier, out.Rows(first + begin, count));
    });
  }
}

void CpuKernels::GatherOutputs(const BatchPlan& plan, TensorView x, TensorView out) {
  const auto& batch = static_cast<const CpuBatchPlan&>(plan);
  CHECK(out.rows == batch.outputs() && x.rows == batch.rows() && x.cols == out.cols);
  CHECK(IsActivation(x) && IsActivation(out));
  for (int64_t i = 0; i < out.rows; ++i) {
    operations_.convert(x.Rows(batch.output_row(i), 1), out.Rows(i, 1));
  }
}

void CpuKernels::Convert(TensorView x, TensorView out) {
  CHECK(SameShape(x, out) && IsActivation(x) && IsActivation(out));
  ForRows(x.rows, x.cols, [&](int64_t first, int64_t count) {
    operations_.convert(x.Rows(first, count), out.Rows(first, count));
  });
}

void CpuKernels::Linear(TensorView x, const LinearWeight& weight, TensorView bias, TensorView out) {
  const PackedWeights& weights = static_cast<const PackedLinearWeight&>(weight).packed();
  CHECK(x.cols == weights.inputs && out.cols == weights.outputs && out.rows == x.rows);
  CHECK(IsActivation(x) && IsActivation(out));
  CHECK(bias.empty() || IsParameter(bias, weights.outputs));
  for (int64_t first = 0; first < x.rows; first += kBlockRows) {
    const int64_t rows = std::min<int64_t>(kBlockRows, x.rows - first);
    LinearBlock(x.Rows(first, rows), weights, static_cast<const float*>(bias.data),
                out.Rows(first, rows));
  }
}

void CpuKernels::LinearBlock(TensorView x, const PackedWeights& weights, const float* bias,
                             TensorView out) {
  const bool multiplies_bfloat16 = operations_.multiplies_bfloat16 && x.dtype == DType::kBFloat16 &&
                                   weights.dtype == DType::kBFloat16;
  PackedRows rows{.data = packed_rows_.data(), .is_bfloat16 = multiplies_bfloat16, .rows = x.rows};
  const int64_t row_bytes = weights.pairs() * 2 * (multiplies_bfloat16 ? 2 : 4);
  const int64_t tiles = (x.rows + kTileRows - 1) / kTileRows;
  RunItems(tiles, x.rows * x.cols < kElementsPerItem, [&](int64_t tile, int) {
    const int64_t first = tile * kTileRows;
    PackedRows part = rows;
    part.data = static_cast<char*>(rows.data) + first * row_bytes;
    operations_.pack_rows(x.Rows(first, std::min<int64_t>(kTileRows, x.rows - first)), part);
  });
  const bool is_small = x.rows * weights.inputs * weights.outputs < kSmallLinear;
  RunItems(weights.groups(), is_small, [&](int64_t group, int thread) {
    operations_.linear({.rows = rows,
                        .weights = weights,
                        .bias = bias,
                        .out = out,
                        .group = group,
                        .totals = workspaces_[static_cast<size_t>(thread)]->totals});
  });
}

void CpuKernels::RmsNorm(TensorView x, TensorView weight, float epsilon, TensorView out) {
  CHECK(SameShape(x, out) && IsActivation(x) && IsActivation(out));
  CHECK(weight.empty() || IsParameter(weight, x.cols));
  ForRows(x.rows, x.cols, [&](int64_t first, int64_t count) {
    operations_.rms_norm(x.Rows(first, count), weight, epsilon, out.Rows(first, count));
  });
}

void CpuKernels::LayerNorm(TensorView x, TensorView weight, TensorView bias, float epsilon,
                           TensorView out) {
  CHECK(SameShape(x, out) && IsActivation(x) && IsActivation(out));
  CHECK(IsParameter(weight, x.cols) && IsParameter(bias, x.cols));
  ForRows(x.rows, x.cols, [&](int64_t first, int64_t count) {
    operations_.layer_norm(x.Rows(first, count), weight, bias, epsilon, out.Rows(first, count));
  });
}

void CpuKernels::Rope(const BatchPlan& plan, TensorView inverse_frequency, TensorView x) {
  const auto& batch = static_cast<const CpuBatchPlan&>(plan);
  const int64_t half = inverse_frequency.cols;
  CHECK(x.rows == batch.rows() && x.cols % (2 * half) == 0 && IsActivation(x));
  const CpuBatchPlan::Rotation rotation = batch.RotationFor(inverse_frequency, x.dtype);
  ForRows(x.rows, x.cols, [&](int64_t first, int64_t count) {
    operations_.rotate(rotation.cosine + first * half, rotation.sine + first * half, half,
                       x.Rows(first, count));
  });
}

void CpuKernels::GeluMultiply(TensorView gate, TensorView up, TensorView out) {
  CHECK(SameShape(gate, up) && SameShape(gate, out) && SameType(gate, up, out));
  ForRows(gate.rows, gate.cols, [&](int64_t first, int64_t count) {
    operations_.gelu_multiply(gate.Rows(first, count), up.Rows(first, count),
                              out.Rows(first, count));
  });
}

void CpuKernels::Add(TensorView a, TensorView b, TensorView out) {
  CHECK(SameShape(a, b) && SameShape(a, out) && SameType(a, b, out));
  ForRows(a.rows, a.cols, [&](int64_t first, int64_t count) {
    operations_.add(a.Rows(first, count), b.Rows(first, count), out.Rows(first, count));
  });
}

void CpuKernels::Scale(TensorView x, float factor, TensorView out) {
  CHECK(SameShape(x, out) && (IsActivation(x) || x.dtype == DType::kUInt8) && IsActivation(out));
  ForRows(x.rows, x.cols, [&](int64_t first, int64_t count) {
    operations_.scale(x.Rows(first, count), factor, out.Rows(first, count));
  });
}

void CpuKernels::Softcap(TensorView x, float cap) {
  CHECK(IsActivation(x));
  // One row of logits is long enough to share.
  constexpr int64_t kColumns = kElementsPerItem;
  const int64_t stretches = (x.cols + kColumns - 1) / kColumns;
  pool_.Run(x.rows * stretches, [&](int64_t item, int) {
    const int64_t first = item % stretches * kColumns;
    const int64_t count = std::min(kColumns, x.cols - first);
    operations_.softcap(x.Rows(item / stretches, 1).Columns(first, count), cap);
  });
}

void CpuKernels::AddPositions(TensorView x, TensorView table, TensorView xy, TensorView out) {
  CHECK(SameShape(x, out) && x.dtype == out.dtype && IsActivation(x));
  CHECK(IsParameter(table, 2 * x.cols) && xy.dtype == DType::kInt32);
  CHECK(xy.cols == 2 && xy.rows == x.rows);
  for (int64_t r = 0; r < xy.rows; ++r) {
    const int32_t* at = static_cast<const int32_t*>(xy.data) + r * xy.row_stride;
    CHECK(at[0] >= 0 && at[0] < table.rows && at[1] >= 0 && at[1] < table.rows);
  }
  ForRows(x.rows, x.cols, [&](int64_t first, int64_t count) {
    operations_.add_positions(x.Rows(first, count), table, xy.Rows(first, count),
                              out.Rows(first, count));
  });
}

}  // namespace cleave::cpu
