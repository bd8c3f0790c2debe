// The multi-token-prediction drafter: a small decoder that guesses the target's next tokens. It has
// no K and V of its own but reads those of the target's last sliding and last full layer.
#pragma once

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

struct DrafterConfig : TextConfig {
  // Reads `folder`/config.json. Errors as ModelConfig::Load; also INVALID_ARGUMENT for a drafter
  // that does not fit the target: another vocabulary, hidden size, window, head or rotary table.
  static absl::StatusOr<DrafterConfig> Load(const std::string& folder, const ModelConfig& target);
};

// Where a draft stands, all drafts of a round alike: at the position of the newest token, which is
// as many as are verified. (The reference and most engines do so; two use the one before. Only the
// share of accepted drafts depends on it, and which is better must be measured on released
// weights.)
inline constexpr int64_t kDraftPositionBehindVerified = 0;

// Owns its weights and activations; the target's and the KV memory are somebody else's and outlive
// it. One thread, the engine's, uses it. Results are on the device and valid until the next Step.
class MtpDrafter {
 public:
  struct Options {
    DType activations = DType::kFloat32;
    int64_t rows_max = 0;  // sequences of one step
  };
  // From a folder with config.json and model.safetensors.
  static absl::StatusOr<std::unique_ptr<MtpDrafter>> Load(const std::string& folder,
                                                          const ModelConfig& target,
                                                          const ModelWeights& target_weights,
                                                          Kernels& kernels, const Options& options);

  // One draft for each row of `plan`, a row being a sequence: its newest token, at position n +
  // kDraftPositionBehindVerified where n positions are verified and in the pages, seeing positions
  // before n (full_visible_end and sliding_visible_end are n). previous: [rows, target's hidden
  // size], for a round's first step the target's final hidden state that the token was drawn from,
  // then projected(). Writes no K and V.
  void Step(const BatchPlan& plan, TensorView previous, const KvMemory& kv);

  // Of the last Step: [rows, vocabulary] float32, neither capped nor suppressed.
  TensorView logits() const { return logits_.Rows(0, rows_); }
  // Of the last Step: [rows, target's hidden size], what the next step of the round takes.
  TensorView projected() const { return projected_.Rows(0, rows_); }

  int64_t device_bytes() const { return device_bytes_; }
  int64_t activation_bytes() const {
    return static_cast<int64_t>(memory_.bytes()) + layers_->activation_bytes();
  }
  void set_tap(StageTap tap) {
    layers_->set_tap(tap);
    tap_ = std::move(tap);
  }

 private:
  MtpDrafter(DrafterConfig config, const ModelConfig& target, const ModelWeights& target_weights,
             Kernels& kernels);
  absl::Status LoadWeights(const std::string& folder);
  absl::Status AllocateActivations(const Options& options);
  void Tap(absl::string_view stage, TensorView value) {
    if (tap_) tap_(stage, -1, value);
  }

  const DrafterConfig config_;
  const ModelConfig& target_;
  const ModelWeights& target_weights_;
  Kernels& kernels_;
  StageTap tap_;
  int last_sliding_ = 0, last_full_ = 0;  // the target's layers whose pages are read

  std::unique_ptr<LinearWeight> pre_projection_;   // [d, 2 * target's d]
  std::vector<LayerWeights> layer_weights_;        // without key and value
  Parameter final_norm_;                           // [1, d]
  std::unique_ptr<LinearWeight> output_table_;     // [vocabulary, d]
  std::unique_ptr<LinearWeight> post_projection_;  // [target's d, d]
  int64_t device_bytes_ = 0;

  std::unique_ptr<LayerRunner> layers_;
  Buffer memory_;         // of the activations outside layers
  TensorView input_;      // [rows, 2 * target's d]: the token's embedding, then `previous`
  TensorView hidden_;     // [rows, d]
  TensorView projected_;  // [rows, target's d]
  TensorView logits_;     // [rows, vocabulary]
  int64_t rows_ = 0;
};

}  // namespace cleave
