// The decoder: one forward pass over a ragged batch of rows.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/kernels.h"
#include "model/kv_memory.h"
#include "model/layer_runner.h"
#include "model/model_config.h"
#include "model/weights.h"

namespace cleave {

struct TransformerOptions {
  DType activations = DType::kFloat32;  // dtype of everything between two operations
  int64_t rows_max = 0;                 // of one step
  int64_t outputs_max = 0;              // rows of one step whose logits are wanted
};

// Owns the activations; weights, kernels and KV memory are somebody else's and outlive it. One
// thread, the engine's, uses it. Results are on the device and valid until the next Forward.
class Transformer {
 public:
  static absl::StatusOr<std::unique_ptr<Transformer>> Create(const ModelConfig& config,
                                                             const ModelWeights& weights,
                                                             Kernels& kernels,
                                                             const TransformerOptions& options);

  // Soft embeddings [count, hidden_size] that replace the rows [first_row, first_row + count).
  struct SoftRows {
    int64_t first_row;
    TensorView embeddings;
  };

  // Computes every row of `plan` through all layers, writing K and V to the pages, and the logits
  // of its output rows. `layer_stored(layer)` is called when the work up to that layer's last write
  // to the pages has been submitted; it may be empty.
  void Forward(const BatchPlan& plan, absl::Span<const SoftRows> soft_rows, const KvMemory& kv,
               const std::function<void(int layer)>& layer_stored);

  // The steps of Forward, for tests that look between them.
  TensorView Embed(const BatchPlan& plan, absl::Span<const SoftRows> soft_rows);
  void RunLayer(int layer, const BatchPlan& plan, const KvMemory& kv, TensorView hidden);
  void RunHead(const BatchPlan& plan, TensorView hidden);

  // Of the last Forward: [outputs, vocabulary] float32, after the softcap, nothing suppressed.
  TensorView logits() const { return logits_.Rows(0, outputs_); }
  // [outputs, hidden_size]: the hidden state behind the final norm, which the drafter reads.
  TensorView final_hidden() const { return final_hidden_.Rows(0, outputs_); }
  int64_t activation_bytes() const {
    return static_cast<int64_t>(memory_.bytes()) + layers_->activation_bytes();
  }

  void set_tap(StageTap tap) {
    layers_->set_tap(tap);
    tap_ = std::move(tap);
  }

 private:
  Transformer(const ModelConfig& config, const ModelWeights& weights, Kernels& kernels)
      : config_(config), weights_(weights), kernels_(kernels) {}
  absl::Status AllocateActivations(const TransformerOptions& options);
  void Tap(absl::string_view stage, int layer, TensorView value) {
    if (tap_) tap_(stage, layer, value);
  }

  const ModelConfig& config_;
  const ModelWeights& weights_;
  Kernels& kernels_;
  StageTap tap_;
  std::unique_ptr<LayerRunner> layers_;
  Buffer memory_;                     // of the activations outside layers
  TensorView hidden_;                 // [rows, d]: the residual stream
  TensorView final_hidden_, logits_;  // [outputs, ...]
  int64_t outputs_ = 0;
};

}  // namespace cleave
