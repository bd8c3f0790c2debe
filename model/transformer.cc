#include "model/transformer.h"

#include <utility>

#include "model/activation_arena.h"
#include "runtime/base/status.h"

namespace cleave {
absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Create(
    const ModelConfig& config, const ModelWeights& weights, Kernels& kernels,
    const TransformerOptions& options) {
  std::unique_ptr<Transformer> transformer(new Transformer(config, weights, kernels));
  RETURN_IF_ERROR(transformer->AllocateActivations(options));
  return transformer;
}

absl::Status Transformer::AllocateActivations(const TransformerOptions& options) {
  ActivationArena arena;
  arena.Take(hidden_, options.activations, options.rows_max, config_.hidden_size);
  arena.Take(final_hidden_, options.activations, options.outputs_max, config_.hidden_size);
  arena.Take(logits_, DType::kFloat32, options.outputs_max, config_.vocabulary_size);
  ASSIGN_OR_RETURN(memory_, arena.Allocate(kernels_.device()));
  ASSIGN_OR_RETURN(layers_,
                   LayerRunner::Create(config_, kernels_, options.activations, options.rows_max));
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
  layers_->Run(layer, weights, plan, kv.LayerView(layer, config_, weights), hidden);
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
