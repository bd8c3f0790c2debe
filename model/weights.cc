#include "model/weights.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/bfloat16.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

std::vector<float> Widen(const StoredTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  if (tensor.dtype == DType::kFloat32) {
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, tensor.bytes.data() + i * sizeof(bits), sizeof(bits));
    values[i] = ToFloat(BFloat16{bits});
  }
  return values;
}

// Brings tensors to the device and counts the bytes they take there.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, Kernels& kernels)
      : checkpoint_(checkpoint), kernels_(kernels) {}

  absl::StatusOr<std::unique_ptr<LinearWeight>> Linear(const std::string& name, int64_t outputs,
                                                       int64_t inputs) {
    ASSIGN_OR_RETURN(const StoredTensor tensor, checkpoint_.Get(name, {outputs, inputs}));
    ASSIGN_OR_RETURN(
        std::unique_ptr<LinearWeight> weight,
        kernels_.LoadLinear(
            {.data = tensor.bytes.data(), .dtype = tensor.dtype, .rows = outputs, .cols = inputs}));
    device_bytes_ += static_cast<int64_t>(weight->device_bytes());
    return weight;
  }

  // A tensor of any shape, seen as [rows, cols] on the device.
  absl::StatusOr<Parameter> Vector(const std::string& name, std::vector<int64_t> shape,
                                   int64_t rows, int64_t cols) {
    ASSIGN_OR_RETURN(const StoredTensor tensor, checkpoint_.Get(name, std::move(shape)));
    const std::vector<float> values = Widen(tensor);
    ASSIGN_OR_RETURN(Buffer buffer, kernels_.device().Allocate(values.size() * sizeof(float)));
    kernels_.stream().CopyFromHost(buffer.data(), values.data(), values.size() * sizeof(float));
    kernels_.stream().WaitForAll();
    device_bytes_ += static_cast<int64_t>(buffer.bytes());
    return Parameter(std::move(buffer), rows, cols);
  }
  absl::StatusOr<Parameter> Vector(const std::string& name, int64_t size) {
    return Vector(name, {size}, 1, size);
  }

  absl::StatusOr<float> Scalar(const std::string& name) {
    ASSIGN_OR_RETURN(const StoredTensor tensor, checkpoint_.Get(name, {1}));
    return Widen(tensor)[0];
  }

  int64_t device_bytes() const { return device_bytes_; }

 private:
  const Checkpoint& checkpoint_;
  Kernels& kernels_;
  int64_t device_bytes_ = 0;
};

absl::StatusOr<LayerWeights> LoadLayer(Loader& loader, const ModelConfig& config, int index) {
  const LayerConfig& layer = config.layers[static_cast<size_t>(index)];
  const std::string prefix = absl::StrCat("model.language_model.layers.", index, ".");
  const int64_t d = config.hidden_size;
  const int64_t query_size = int64_t{config.query_heads} * layer.head_dim;
  const int64_t kv_size = int64_t{layer.kv_heads} * layer.head_dim;
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  LayerWeights out;
  ASSIGN_OR_RETURN(out.input_norm, loader.Vector(prefix + "input_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.post_attention_norm,
                   loader.Vector(prefix + "post_attention_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.pre_feedforward_norm,
                   loader.Vector(prefix + "pre_feedforward_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.post_feedforward_norm,
                   loader.Vector(prefix + "post_feedforward_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.query, loader.Linear(attention + "q_proj.weight", query_size, d));
  ASSIGN_OR_RETURN(out.key, loader.Linear(attention + "k_proj.weight", kv_size, d));
  if (layer.kind == KvKind::kSliding) {
    ASSIGN_OR_RETURN(out.value, loader.Linear(attention + "v_proj.weight", kv_size, d));
  }
  ASSIGN_OR_RETURN(out.output, loader.Linear(attention + "o_proj.weight", d, query_size));
  ASSIGN_OR_RETURN(out.query_norm, loader.Vector(attention + "q_norm.weight", layer.head_dim));
  ASSIGN_OR_RETURN(out.key_norm, loader.Vector(attention + "k_norm.weight", layer.head_dim));
  ASSIGN_OR_RETURN(out.gate, loader.Linear(mlp + "gate_proj.weight", config.intermediate_size, d));
  ASSIGN_OR_RETURN(out.up, loader.Linear(mlp + "up_proj.weight", config.intermediate_size, d));
  ASSIGN_OR_RETURN(out.down, loader.Linear(mlp + "down_proj.weight", d, config.intermediate_size));
  ASSIGN_OR_RETURN(out.layer_scalar, loader.Scalar(prefix + "layer_scalar"));
  return out;
}

absl::StatusOr<VisionWeights> LoadVision(Loader& loader, const ModelConfig& config) {
  const VisionConfig& vision = config.vision;
  const int64_t tile = vision.tile_values();
  const int64_t width = vision.embedding_dim;
  const std::string prefix = "model.vision_embedder.";
  VisionWeights out;
  ASSIGN_OR_RETURN(out.tile_norm_weight, loader.Vector(prefix + "patch_ln1.weight", tile));
  ASSIGN_OR_RETURN(out.tile_norm_bias, loader.Vector(prefix + "patch_ln1.bias", tile));
  ASSIGN_OR_RETURN(out.dense, loader.Linear(prefix + "patch_dense.weight", width, tile));
  ASSIGN_OR_RETURN(out.dense_bias, loader.Vector(prefix + "patch_dense.bias", width));
  ASSIGN_OR_RETURN(out.dense_norm_weight, loader.Vector(prefix + "patch_ln2.weight", width));
  ASSIGN_OR_RETURN(out.dense_norm_bias, loader.Vector(prefix + "patch_ln2.bias", width));
  ASSIGN_OR_RETURN(out.positions,
                   loader.Vector(prefix + "pos_embedding", {vision.position_table, 2, width},
                                 vision.position_table, 2 * width));
  ASSIGN_OR_RETURN(out.position_norm_weight, loader.Vector(prefix + "pos_norm.weight", width));
  ASSIGN_OR_RETURN(out.position_norm_bias, loader.Vector(prefix + "pos_norm.bias", width));
  ASSIGN_OR_RETURN(out.projection, loader.Linear("model.embed_vision.embedding_projection.weight",
                                                 config.hidden_size, width));
  return out;
}

}  // namespace

absl::StatusOr<ModelWeights> ModelWeights::Load(const Checkpoint& checkpoint,
                                                const ModelConfig& config, Kernels& kernels) {
  Loader loader(checkpoint, kernels);
  ModelWeights out;
  const std::string table = "model.language_model.embed_tokens.weight";
  const int64_t d = config.hidden_size;
  ASSIGN_OR_RETURN(out.token_table, loader.Linear(table, config.vocabulary_size, d));
  ASSIGN_OR_RETURN(const StoredTensor stored, checkpoint.Get(table, {config.vocabulary_size, d}));
  const float root = static_cast<float>(std::sqrt(static_cast<double>(d)));
  out.embedding_multiplier = stored.dtype == DType::kBFloat16 ? RoundToBFloat16(root) : root;
  for (int i = 0; i < config.num_layers(); ++i) {
    ASSIGN_OR_RETURN(LayerWeights layer, LoadLayer(loader, config, i));
    out.layers.push_back(std::move(layer));
  }
  ASSIGN_OR_RETURN(out.final_norm, loader.Vector("model.language_model.norm.weight", d));
  ASSIGN_OR_RETURN(out.vision, LoadVision(loader, config));
  ASSIGN_OR_RETURN(out.audio_projection,
                   loader.Linear("model.embed_audio.embedding_projection.weight", d,
                                 config.audio.samples_per_token));
  out.device_bytes = loader.device_bytes();
  return out;
}

}  // namespace cleave
