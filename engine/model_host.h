// The model on this worker: weights, kernels, KV memory and everything else that both engines build
// on, loaded once at start within one memory budget.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/sampler.h"
#include "model/kv_memory.h"
#include "model/media_embedder.h"
#include "model/model_config.h"
#include "model/mtp_drafter.h"
#include "model/transformer.h"
#include "model/weights.h"
#include "runtime/kv/block_table.h"
#include "runtime/kv/page_allocator.h"

namespace cleave {

struct ModelHostOptions {
  std::string folder;          // a Hugging Face checkpoint
  std::string drafter_folder;  // its drafter's; empty: none
  KernelOptions kernels;
  DType activations = DType::kFloat32;  // kFloat32 or kBFloat16
  KvLayoutOptions kv;
  int64_t kv_bytes_max = int64_t{1} << 30;  // of both page pools together
  int64_t context_tokens_max = 8192;        // of one sequence; the model's own limit may be lower
  int64_t step_rows_max = 1120;             // of one step
  int64_t step_outputs_max = 64;            // rows of one step whose logits are wanted
  int64_t step_sequences_max = 64;
  bool poison_free_pages = false;  // tests: free pages become NaN
};

// Everything but the threads. Owned by main; the engine's thread uses what it hands out.
class ModelHost {
 public:
  // INVALID_ARGUMENT for a checkpoint or option that does not work, RESOURCE_EXHAUSTED when the
  // pools cannot hold one sequence of the whole context; both say what to change.
  static absl::StatusOr<std::unique_ptr<ModelHost>> Load(const ModelHostOptions& options);

  const ModelConfig& config() const { return config_; }
  const KvLayout& layout() const { return kv_memory_->layout(); }
  int64_t context_tokens_max() const { return context_tokens_max_; }
  Kernels& kernels() { return *kernels_; }
  Transformer& transformer() { return *transformer_; }
  MediaEmbedder& embedder() { return *embedder_; }
  Sampler& sampler() { return *sampler_; }
  const KvMemory& kv_memory() const { return *kv_memory_; }
  KvLayerView kv_view(int layer) const {
    return kv_memory_->LayerView(layer, config_, weights_.layers[static_cast<size_t>(layer)]);
  }
  BatchPlan& plan() { return *plan_; }
  // Null when there is none. Its steps have a plan of their own.
  MtpDrafter* drafter() { return drafter_.get(); }
  BatchPlan& draft_plan() { return *draft_plan_; }
  const BatchLimits& limits() const { return limits_; }
  KvPools pools() { return {*full_pages_, *sliding_pages_, layout().page_tokens()}; }

  // Makes the copies that a table which shares pages asks for.
  void CopyPages(const BlockTable::SharedPrefix& copies);

  // The logits of output row `row` of the last step, a copy that may be changed. Waits for the
  // device; valid until the next call.
  absl::Span<float> FetchLogits(int64_t row) {
    return FetchRow(transformer_->logits().Rows(row, 1));
  }
  // The same of the drafter's last step.
  absl::Span<float> FetchDraftLogits(int64_t row) {
    return FetchRow(drafter_->logits().Rows(row, 1));
  }
  // The final hidden state of that row as stored bytes, activation dtype.
  std::string FetchFinalHidden(int64_t row);
  // Of the weights, what a step of text reads: layers and the token table.
  int64_t decoder_bytes() const { return weights_.decoder_bytes; }
  DType activations() const { return activations_; }
  int64_t final_hidden_bytes() const {
    return config_.hidden_size * static_cast<int64_t>(DTypeBytes(activations_));
  }

  // Last part of the folder's path.
  const std::string& model_name() const { return model_name_; }
  // Equal on two workers exactly when they hold the same weights, and when they compute the same
  // bits with them.
  const std::string& weights_fingerprint() const { return weights_fingerprint_; }
  std::string numerics_fingerprint() const;
  // One line a part, for the log: where the memory went.
  std::string MemoryTable() const;

 private:
  ModelHost() = default;
  absl::Status LoadModel(const ModelHostOptions& options);
  struct SequencePages {
    int64_t full, sliding;
    int64_t sum() const { return full + sliding; }
  };
  // The most that a sequence of the whole context has.
  SequencePages PagesOfOne(const ModelHostOptions& options) const;
  absl::Status SizePools(const ModelHostOptions& options);
  absl::Status CreateStepMemory(const ModelHostOptions& options);
  absl::Status LoadDrafter(const ModelHostOptions& options);
  absl::Span<float> FetchRow(TensorView row);

  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> kernels_;
  ModelConfig config_{};
  ModelWeights weights_;
  std::string model_name_;
  std::string weights_fingerprint_;
  DType activations_ = DType::kFloat32;
  int64_t context_tokens_max_ = 0;
  std::unique_ptr<KvMemory> kv_memory_;
  std::unique_ptr<PageAllocator> full_pages_;
  std::unique_ptr<PageAllocator> sliding_pages_;
  BatchLimits limits_;
  std::unique_ptr<BatchPlan> plan_;
  std::unique_ptr<Transformer> transformer_;
  std::unique_ptr<MtpDrafter> drafter_;
  std::unique_ptr<BatchPlan> draft_plan_;
  std::unique_ptr<MediaEmbedder> embedder_;
  std::unique_ptr<Sampler> sampler_;
  std::vector<float> logits_;
};

}  // namespace cleave
