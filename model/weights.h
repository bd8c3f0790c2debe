// Gemma 4's parameters on the device, each where the forward pass needs it.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/kernels.h"
#include "model/checkpoint.h"
#include "model/model_config.h"

namespace cleave {

// A vector or small matrix of parameters, float32 on the device. Owns its memory.
class Parameter {
 public:
  Parameter() = default;
  Parameter(Buffer buffer, int64_t rows, int64_t cols)
      : buffer_(std::move(buffer)), rows_(rows), cols_(cols) {}
  // [rows, cols]; empty for a default-constructed one.
  TensorView view() const {
    return buffer_.data() == nullptr ? TensorView{} : buffer_.View(DType::kFloat32, rows_, cols_);
  }

 private:
  Buffer buffer_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
};

struct LayerWeights {
  Parameter input_norm, post_attention_norm, pre_feedforward_norm, post_feedforward_norm;  // [1, d]
  std::unique_ptr<LinearWeight> query;   // [query_heads * head_dim, d]
  std::unique_ptr<LinearWeight> key;     // [kv_heads * head_dim, d]; null in a drafter
  std::unique_ptr<LinearWeight> value;   // the same; null on full layers: V comes from the raw key
  std::unique_ptr<LinearWeight> output;  // [d, query_heads * head_dim]
  Parameter query_norm, key_norm;        // [1, head_dim], shared by all heads
  std::unique_ptr<LinearWeight> gate, up;  // [intermediate, d]
  std::unique_ptr<LinearWeight> down;      // [d, intermediate]
  float layer_scalar = 1;                  // scales the whole residual stream behind the layer
};

struct VisionWeights {
  Parameter tile_norm_weight, tile_norm_bias;          // [1, tile values]
  std::unique_ptr<LinearWeight> dense;                 // [embedding, tile values]
  Parameter dense_bias;                                // [1, embedding]
  Parameter dense_norm_weight, dense_norm_bias;        // [1, embedding]
  Parameter positions;                                 // [table, 2 * embedding]: x, then y
  Parameter position_norm_weight, position_norm_bias;  // [1, embedding]
  std::unique_ptr<LinearWeight> projection;            // [d, embedding]
};

struct ModelWeights {
  // Copies everything to the kernels' device. Fails naming the tensor that is missing, of another
  // shape or dtype, or does not fit.
  static absl::StatusOr<ModelWeights> Load(const Checkpoint& checkpoint, const ModelConfig& config,
                                           Kernels& kernels);

  std::unique_ptr<LinearWeight> token_table;  // [vocabulary, d]: embedding and output
  // sqrt(d), rounded to the dtype of the stored table as the reference does.
  float embedding_multiplier = 1;
  std::vector<LayerWeights> layers;
  Parameter final_norm;  // [1, d]
  VisionWeights vision;
  std::unique_ptr<LinearWeight> audio_projection;  // [d, samples per token]
  int64_t device_bytes = 0;
  int64_t decoder_bytes = 0;  // of these, all but vision and audio
};

}  // namespace cleave
