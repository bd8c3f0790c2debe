// One model and one sequence in one process, without an engine: what the tests compare with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/kv_memory.h"
#include "model/media_embedder.h"
#include "model/model_config.h"
#include "model/transformer.h"
#include "model/weights.h"

namespace cleave::testing {

// A matrix copied to the host and widened.
struct HostRows {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<float> values;
};

struct RunnerOptions {
  KernelOptions kernels;
  DType activations = DType::kFloat32;
  KvLayoutOptions kv{.page_tokens = 8, .dtype = DType::kFloat32, .form = KvForm::kCompact};
  int64_t positions_max = 256;
};

// Media of a prompt, ready to be computed: rows [first, first + tokens) are soft.
struct RunnerMedia {
  int64_t first_position = 0;
  bool is_picture = true;
  SoftEmbeddings embeddings;
};

class ModelRunner {
 public:
  static absl::StatusOr<std::unique_ptr<ModelRunner>> Load(const std::string& folder,
                                                           const RunnerOptions& options);

  // Forgets the sequence.
  void Reset();
  // Appends the tokens at the next positions and computes them as one step. Media must lie inside.
  // Every row's logits are computed when `all_outputs`, else the last row's only.
  void Forward(absl::Span<const int32_t> token_ids, absl::Span<const RunnerMedia> media,
               bool all_outputs);
  // Prepares a step without running it, for tests that go layer by layer.
  const BatchPlan& Prepare(absl::Span<const int32_t> token_ids, absl::Span<const RunnerMedia> media,
                           bool all_outputs);
  // Prepares a draft step of one row for each place: the row has newest_tokens[row] and sees the
  // positions [0, verified[row]) of the sequence.
  const BatchPlan& PrepareDrafts(absl::Span<const int64_t> verified,
                                 absl::Span<const int32_t> newest_tokens);
  // Forgets the positions from `positions` on.
  void Truncate(int64_t positions);
  std::vector<Transformer::SoftRows> SoftRowsOf(absl::Span<const RunnerMedia> media) const;

  HostRows Fetch(TensorView view);
  // Writes `values` into a device matrix of the same shape.
  void Put(absl::Span<const float> values, TensorView view);
  // K or V of a layer from the pages: [kv_heads][positions first..end)[head_dim].
  std::vector<float> FetchKv(int layer, bool value, int64_t first, int64_t end);

  // The greedy choice over a row of logits, with the checkpoint's suppressed ids left out.
  int32_t ArgMax(absl::Span<const float> logits) const;

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  Kernels& kernels() { return *kernels_; }
  Transformer& transformer() { return *transformer_; }
  MediaEmbedder& embedder() { return *embedder_; }
  const KvMemory& kv() const { return *kv_; }
  int64_t positions() const { return positions_; }

 private:
  ModelRunner() = default;

  RunnerOptions options_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> kernels_;
  ModelConfig config_;
  ModelWeights weights_;
  std::unique_ptr<KvMemory> kv_;
  std::unique_ptr<Transformer> transformer_;
  std::unique_ptr<MediaEmbedder> embedder_;
  std::unique_ptr<BatchPlan> plan_;
  std::vector<PageId> pages_;  // of both kinds: nothing is dropped here
  int64_t positions_ = 0;
};

}  // namespace cleave::testing
