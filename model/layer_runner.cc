#include "model/layer_runner.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "model/activation_arena.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// The first `rows` rows of a buffer, as rows of `cols` without gaps.
TensorView Shape(const TensorView& buffer, int64_t rows, int64_t cols) {
  CHECK(rows * cols <= buffer.rows * buffer.cols);
  TensorView view = buffer;
  view.rows = rows;
  view.cols = cols;
  view.row_stride = cols;
  return view;
}

// The reference's float power function is one unit in the last place off in one entry of each of
// the 12B's two tables; at position 262,143 that would turn an angle by 0.004.
struct KnownFrequency {
  double theta;
  int head_dim;
  int index;
  uint32_t bits;
};
constexpr KnownFrequency kKnownFrequencies[] = {{1e4, 256, 111, 0x39b229fb},
                                                {1e6, 512, 29, 0x3e561912}};

}  // namespace

std::vector<float> InverseFrequencies(const RopeConfig& rope, int head_dim) {
  const int half = head_dim / 2;
  const int rotating = static_cast<int>(rope.rotary_fraction * half);
  std::vector<float> frequencies(static_cast<size_t>(half), 0.0f);
  const float theta = static_cast<float>(rope.theta);
  for (int i = 0; i < rotating; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float power = static_cast<float>(std::pow(double{theta}, double{exponent}));
    frequencies[static_cast<size_t>(i)] = 1.0f / power;
  }
  for (const KnownFrequency& known : kKnownFrequencies) {
    if (known.theta != rope.theta || known.head_dim != head_dim || known.index >= rotating)
      continue;
    frequencies[static_cast<size_t>(known.index)] = std::bit_cast<float>(known.bits);
  }
  return frequencies;
}

absl::StatusOr<std::unique_ptr<LayerRunner>> LayerRunner::Create(const TextConfig& config,
                                                                 Kernels& kernels,
                                                                 DType activations,
                                                                 int64_t rows_max) {
  std::unique_ptr<LayerRunner> runner(new LayerRunner(config, kernels));
  RETURN_IF_ERROR(runner->AllocateActivations(activations, rows_max));
  RETURN_IF_ERROR(runner->ComputeRotaryTables());
  return runner;
}

absl::Status LayerRunner::AllocateActivations(DType dtype, int64_t rows) {
  int64_t query_width = 0, kv_width = 0;
  for (const LayerConfig& layer : config_.layers) {
    query_width = std::max(query_width, int64_t{config_.query_heads} * layer.head_dim);
    kv_width = std::max(kv_width, int64_t{layer.kv_heads} * layer.head_dim);
  }
  ActivationArena arena;
  for (TensorView* view : {&normed_, &branch_}) arena.Take(*view, dtype, rows, config_.hidden_size);
  for (TensorView* view : {&query_, &attended_}) arena.Take(*view, dtype, rows, query_width);
  for (TensorView* view : {&key_, &value_}) arena.Take(*view, dtype, rows, kv_width);
  for (TensorView* view : {&gate_, &up_}) {
    arena.Take(*view, dtype, rows, config_.intermediate_size);
  }
  ASSIGN_OR_RETURN(memory_, arena.Allocate(kernels_.device()));
  return absl::OkStatus();
}

absl::Status LayerRunner::ComputeRotaryTables() {
  for (const LayerConfig& layer : config_.layers) {
    Parameter& table = layer.kind == KvKind::kFull ? full_frequencies_ : sliding_frequencies_;
    if (!table.view().empty()) continue;
    const std::vector<float> values = InverseFrequencies(config_.rope(layer.kind), layer.head_dim);
    const size_t bytes = values.size() * sizeof(float);
    ASSIGN_OR_RETURN(Buffer buffer, kernels_.device().Allocate(bytes));
    kernels_.stream().CopyFromHost(buffer.data(), values.data(), bytes);
    kernels_.stream().WaitForAll();
    table = Parameter(std::move(buffer), 1, static_cast<int64_t>(values.size()));
  }
  return absl::OkStatus();
}

void LayerRunner::Run(int layer, const LayerWeights& weights, const BatchPlan& plan,
                      const KvLayerView& cache, TensorView hidden) {
  const int64_t rows = plan.rows();
  const TensorView normed = normed_.Rows(0, rows), branch = branch_.Rows(0, rows);
  const auto norm = [&](TensorView x, const Parameter& weight, TensorView out) {
    kernels_.RmsNorm(x, weight.view(), config_.rms_epsilon, out);
  };

  norm(hidden, weights.input_norm, normed);
  Tap("input_norm", layer, normed);
  RunAttention(layer, weights, plan, cache);
  Tap("o_proj", layer, branch);
  norm(branch, weights.post_attention_norm, branch);
  Tap("post_attention_norm", layer, branch);
  kernels_.Add(hidden, branch, hidden);
  Tap("residual_1", layer, hidden);

  norm(hidden, weights.pre_feedforward_norm, normed);
  Tap("pre_feedforward_norm", layer, normed);
  RunFeedForward(layer, weights, rows);
  Tap("down", layer, branch);
  norm(branch, weights.post_feedforward_norm, branch);
  Tap("post_feedforward_norm", layer, branch);
  kernels_.Add(hidden, branch, hidden);
  kernels_.Scale(hidden, weights.layer_scalar, hidden);
  Tap("out", layer, hidden);
}

// branch = attention(normed).
void LayerRunner::RunAttention(int layer, const LayerWeights& weights, const BatchPlan& plan,
                               const KvLayerView& cache) {
  const LayerConfig& shape = config_.layers[static_cast<size_t>(layer)];
  const int64_t rows = plan.rows();
  const int64_t width = int64_t{config_.query_heads} * shape.head_dim;
  const TensorView query = Shape(query_, rows, width);
  const TensorView attended = Shape(attended_, rows, width);

  kernels_.Linear(normed_.Rows(0, rows), *weights.query, {}, query);
  Tap("q_raw", layer, query);
  kernels_.RmsNorm(query.Reshaped(shape.head_dim), weights.query_norm.view(), config_.rms_epsilon,
                   query.Reshaped(shape.head_dim));
  Tap("q_normed", layer, query);
  kernels_.Rope(plan, Frequencies(shape.kind), query);
  Tap("q", layer, query);
  if (weights.key != nullptr) StoreKeyValue(layer, weights, plan, cache);
  kernels_.Attention(plan, query, cache, attended);
  Tap("attention", layer, attended);
  kernels_.Linear(attended, *weights.output, {}, branch_.Rows(0, rows));
}

// K and V of normed, to the pages. Full layers have no V projection: V is the raw key, normed
// without a weight and not rotated.
void LayerRunner::StoreKeyValue(int layer, const LayerWeights& weights, const BatchPlan& plan,
                                const KvLayerView& cache) {
  const LayerConfig& shape = config_.layers[static_cast<size_t>(layer)];
  const int64_t rows = plan.rows();
  const int64_t width = int64_t{shape.kv_heads} * shape.head_dim;
  const TensorView normed = normed_.Rows(0, rows);
  const TensorView key = Shape(key_, rows, width), value = Shape(value_, rows, width);
  const auto norm_heads = [&](TensorView x, TensorView weight, TensorView out) {
    kernels_.RmsNorm(x.Reshaped(shape.head_dim), weight, config_.rms_epsilon,
                     out.Reshaped(shape.head_dim));
  };
  kernels_.Linear(normed, *weights.key, {}, key);
  Tap("k_raw", layer, key);
  if (weights.value != nullptr) {
    kernels_.Linear(normed, *weights.value, {}, value);
    Tap("v_raw", layer, value);
    norm_heads(value, {}, value);
  } else {
    norm_heads(key, {}, value);
  }
  Tap("v", layer, value);
  norm_heads(key, weights.key_norm.view(), key);
  Tap("k_normed", layer, key);
  kernels_.Rope(plan, Frequencies(shape.kind), key);
  Tap("k", layer, key);
  kernels_.StoreKv(plan, key, value, cache);
}

// branch = (gelu(normed Wgate) * (normed Wup)) Wdown.
void LayerRunner::RunFeedForward(int layer, const LayerWeights& weights, int64_t rows) {
  const TensorView normed = normed_.Rows(0, rows);
  const TensorView gate = gate_.Rows(0, rows), up = up_.Rows(0, rows);
  kernels_.Linear(normed, *weights.gate, {}, gate);
  kernels_.Linear(normed, *weights.up, {}, up);
  Tap("gate", layer, gate);
  Tap("up", layer, up);
  kernels_.GeluMultiply(gate, up, gate);
  Tap("gelu_times_up", layer, gate);
  kernels_.Linear(gate, *weights.down, {}, branch_.Rows(0, rows));
}

}  // namespace cleave
