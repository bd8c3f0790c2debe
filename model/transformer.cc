#include "model/transformer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr int64_t kAlignment = 64;

// Hands out matrices of one allocation, one after the other.
class Arena {
 public:
  TensorView Take(DType dtype, int64_t rows, int64_t cols) {
    TensorView view{.data = reinterpret_cast<void*>(size_),
                    .dtype = dtype,
                    .device = {},
                    .rows = rows,
                    .cols = cols,
                    .row_stride = cols};
    const int64_t bytes = rows * cols * static_cast<int64_t>(DTypeBytes(dtype));
    size_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return view;
  }
  int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
};

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

absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Create(
    const ModelConfig& config, const ModelWeights& weights, Kernels& kernels,
    const TransformerOptions& options) {
  std::unique_ptr<Transformer> transformer(new Transformer(config, weights, kernels));
  RETURN_IF_ERROR(transformer->AllocateActivations(options));
  RETURN_IF_ERROR(transformer->ComputeRotaryTables());
  return transformer;
}

absl::Status Transformer::AllocateActivations(const TransformerOptions& options) {
  int64_t query_width = 0, kv_width = 0;
  for (const LayerConfig& layer : config_.layers) {
    query_width = std::max(query_width, int64_t{config_.query_heads} * layer.head_dim);
    kv_width = std::max(kv_width, int64_t{layer.kv_heads} * layer.head_dim);
  }
  const int64_t rows = options.rows_max, outputs = options.outputs_max, d = config_.hidden_size;
  const DType dtype = options.activations;
  Arena arena;
  hidden_ = arena.Take(dtype, rows, d);
  normed_ = arena.Take(dtype, rows, d);
  branch_ = arena.Take(dtype, rows, d);
  query_ = arena.Take(dtype, rows, query_width);
  key_ = arena.Take(dtype, rows, kv_width);
  value_ = arena.Take(dtype, rows, kv_width);
  attended_ = arena.Take(dtype, rows, query_width);
  gate_ = arena.Take(dtype, rows, config_.intermediate_size);
  up_ = arena.Take(dtype, rows, config_.intermediate_size);
  final_hidden_ = arena.Take(dtype, outputs, d);
  logits_ = arena.Take(DType::kFloat32, outputs, config_.vocabulary_size);
  ASSIGN_OR_RETURN(memory_, kernels_.device().Allocate(static_cast<size_t>(arena.size())));
  for (TensorView* view : {&hidden_, &normed_, &branch_, &query_, &key_, &value_, &attended_,
                           &gate_, &up_, &final_hidden_, &logits_}) {
    view->data = static_cast<char*>(memory_.data()) + reinterpret_cast<intptr_t>(view->data);
    view->device = kernels_.device().id();
  }
  return absl::OkStatus();
}

absl::Status Transformer::ComputeRotaryTables() {
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

void Transformer::Forward(const BatchPlan& plan, absl::Span<const SoftRows> soft_rows,
                          const KvMemory& kv, const std::function<void(int layer)>& layer_stored) {
  const TensorView hidden = Embed(plan, soft_rows);
  for (int layer = 0; layer < config_.num_layers(); ++layer) {
    RunLayer(layer, plan, kv, hidden);
    if (layer_stored) layer_stored(layer);
  }
  RunHead(plan, hidden);
}

TensorView Transformer::Embed(const BatchPlan& plan, absl::Span<const SoftRows> soft_rows) {
  const TensorView hidden = hidden_.Rows(0, plan.rows());
  kernels_.EmbedTokens(plan, *weights_.token_table, weights_.embedding_multiplier, hidden);
  for (const SoftRows& soft : soft_rows) {
    kernels_.Convert(soft.embeddings, hidden.Rows(soft.first_row, soft.embeddings.rows));
  }
  Tap("embeddings", -1, hidden);
  return hidden;
}

void Transformer::RunLayer(int layer, const BatchPlan& plan, const KvMemory& kv,
                           TensorView hidden) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const int64_t rows = plan.rows();
  const TensorView normed = normed_.Rows(0, rows), branch = branch_.Rows(0, rows);
  const auto norm = [&](TensorView x, const Parameter& weight, TensorView out) {
    kernels_.RmsNorm(x, weight.view(), config_.rms_epsilon, out);
  };

  norm(hidden, weights.input_norm, normed);
  Tap("input_norm", layer, normed);
  RunAttention(layer, plan, kv);
  Tap("o_proj", layer, branch);
  norm(branch, weights.post_attention_norm, branch);
  Tap("post_attention_norm", layer, branch);
  kernels_.Add(hidden, branch, hidden);
  Tap("residual_1", layer, hidden);

  norm(hidden, weights.pre_feedforward_norm, normed);
  Tap("pre_feedforward_norm", layer, normed);
  RunFeedForward(layer, rows);
  Tap("down", layer, branch);
  norm(branch, weights.post_feedforward_norm, branch);
  Tap("post_feedforward_norm", layer, branch);
  kernels_.Add(hidden, branch, hidden);
  kernels_.Scale(hidden, weights.layer_scalar, hidden);
  Tap("out", layer, hidden);
}

// branch = attention(normed). Full layers have no V projection: V is the raw key, normed without a
// weight and not rotated.
void Transformer::RunAttention(int layer, const BatchPlan& plan, const KvMemory& kv) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const LayerConfig& shape = config_.layers[static_cast<size_t>(layer)];
  const KvLayerView cache = kv.LayerView(layer, config_, weights);
  const int64_t rows = plan.rows();
  const int64_t query_width = int64_t{config_.query_heads} * shape.head_dim;
  const int64_t kv_width = int64_t{shape.kv_heads} * shape.head_dim;
  const TensorView normed = normed_.Rows(0, rows);
  const TensorView query = Shape(query_, rows, query_width);
  const TensorView key = Shape(key_, rows, kv_width);
  const TensorView value = Shape(value_, rows, kv_width);
  const TensorView attended = Shape(attended_, rows, query_width);
  const TensorView frequencies =
      shape.kind == KvKind::kFull ? full_frequencies_.view() : sliding_frequencies_.view();
  const auto norm_heads = [&](TensorView x, TensorView weight, TensorView out) {
    kernels_.RmsNorm(x.Reshaped(shape.head_dim), weight, config_.rms_epsilon,
                     out.Reshaped(shape.head_dim));
  };

  kernels_.Linear(normed, *weights.query, {}, query);
  kernels_.Linear(normed, *weights.key, {}, key);
  Tap("q_raw", layer, query);
  Tap("k_raw", layer, key);
  if (weights.value != nullptr) {
    kernels_.Linear(normed, *weights.value, {}, value);
    Tap("v_raw", layer, value);
    norm_heads(value, {}, value);
  } else {
    norm_heads(key, {}, value);
  }
  norm_heads(query, weights.query_norm.view(), query);
  norm_heads(key, weights.key_norm.view(), key);
  Tap("q_normed", layer, query);
  Tap("k_normed", layer, key);
  kernels_.Rope(plan, frequencies, query);
  kernels_.Rope(plan, frequencies, key);
  Tap("q", layer, query);
  Tap("k", layer, key);
  Tap("v", layer, value);
  kernels_.StoreKv(plan, key, value, cache);
  kernels_.Attention(plan, query, cache, attended);
  Tap("attention", layer, attended);
  kernels_.Linear(attended, *weights.output, {}, branch_.Rows(0, rows));
}

// branch = (gelu(normed Wgate) * (normed Wup)) Wdown.
void Transformer::RunFeedForward(int layer, int64_t rows) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
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

void Transformer::RunHead(const BatchPlan& plan, TensorView hidden) {
  outputs_ = plan.outputs();
  if (outputs_ == 0) return;
  const TensorView final_hidden = final_hidden_.Rows(0, outputs_);
  const TensorView logits = logits_.Rows(0, outputs_);
  kernels_.GatherOutputs(plan, hidden, final_hidden);
  kernels_.RmsNorm(final_hidden, weights_.final_norm.view(), config_.rms_epsilon, final_hidden);
  Tap("final_hidden", -1, final_hidden);
  kernels_.Linear(final_hidden, *weights_.token_table, {}, logits);
  kernels_.Softcap(logits, config_.logit_softcap);
  Tap("logits", -1, logits);
}

}  // namespace cleave
