// One decoder layer after the other, over a ragged batch of rows: what the target and its drafter
// have in common.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/kernels.h"
#include "model/text_config.h"
#include "model/weights.h"

namespace cleave {

// Sees intermediate values, for comparison with the reference. `layer` is -1 outside layers. The
// values are on the device and valid during the call.
using StageTap = std::function<void(absl::string_view stage, int layer, TensorView value)>;

// Owns the activations inside a layer and the rotary tables. One thread uses it.
class LayerRunner {
 public:
  // `activations`: dtype of everything between two operations. `rows_max`: of one step.
  static absl::StatusOr<std::unique_ptr<LayerRunner>> Create(const TextConfig& config,
                                                             Kernels& kernels, DType activations,
                                                             int64_t rows_max);

  // hidden [rows, hidden_size] goes through layer `layer` of the config, in place. A layer with key
  // weights first writes K and V of its rows to `cache`; one without (a drafter's) only reads.
  void Run(int layer, const LayerWeights& weights, const BatchPlan& plan, const KvLayerView& cache,
           TensorView hidden);

  int64_t activation_bytes() const { return static_cast<int64_t>(memory_.bytes()); }
  void set_tap(StageTap tap) { tap_ = std::move(tap); }

 private:
  LayerRunner(const TextConfig& config, Kernels& kernels) : config_(config), kernels_(kernels) {}
  absl::Status AllocateActivations(DType dtype, int64_t rows);
  absl::Status ComputeRotaryTables();
  void RunAttention(int layer, const LayerWeights& weights, const BatchPlan& plan,
                    const KvLayerView& cache);
  void StoreKeyValue(int layer, const LayerWeights& weights, const BatchPlan& plan,
                     const KvLayerView& cache);
  void RunFeedForward(int layer, const LayerWeights& weights, int64_t rows);
  TensorView Frequencies(KvKind kind) const {
    return kind == KvKind::kFull ? full_frequencies_.view() : sliding_frequencies_.view();
  }
  void Tap(absl::string_view stage, int layer, TensorView value) {
    if (tap_) tap_(stage, layer, value);
  }

  const TextConfig& config_;
  Kernels& kernels_;
  StageTap tap_;
  Parameter sliding_frequencies_, full_frequencies_;  // [1, head_dim / 2]
  Buffer memory_;                                     // of all activations
  TensorView normed_, branch_;                        // [rows, d]
  TensorView query_, key_, value_, attended_;         // [rows, heads * head_dim] of the widest kind
  TensorView gate_, up_;                              // [rows, intermediate]
};

// 1 / theta^(2i / head_dim) for i in [0, head_dim / 2), zero from the rotary fraction on, all in
// float as the reference does it: another last bit would show at long positions.
std::vector<float> InverseFrequencies(const RopeConfig& rope, int head_dim);

}  // namespace cleave
