#include "model/weight_loader.h"

#include <cstring>
#include <utility>

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

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> WeightLoader::Linear(const std::string& name,
                                                                   int64_t outputs,
                                                                   int64_t inputs) {
  ASSIGN_OR_RETURN(const StoredTensor tensor, checkpoint_.Get(name, {outputs, inputs}));
  ASSIGN_OR_RETURN(
      std::unique_ptr<LinearWeight> weight,
      kernels_.LoadLinear(
          {.data = tensor.bytes.data(), .dtype = tensor.dtype, .rows = outputs, .cols = inputs}));
  device_bytes_ += static_cast<int64_t>(weight->device_bytes());
  return weight;
}

absl::StatusOr<Parameter> WeightLoader::Vector(const std::string& name,
                                               const std::vector<int64_t>& shape, int64_t rows,
                                               int64_t cols) {
  ASSIGN_OR_RETURN(const StoredTensor tensor, checkpoint_.Get(name, shape));
  const std::vector<float> values = Widen(tensor);
  ASSIGN_OR_RETURN(Buffer buffer, kernels_.device().Allocate(values.size() * sizeof(float)));
  kernels_.stream().CopyFromHost(buffer.data(), values.data(), values.size() * sizeof(float));
  kernels_.stream().WaitForAll();
  device_bytes_ += static_cast<int64_t>(buffer.bytes());
  return Parameter(std::move(buffer), rows, cols);
}

absl::StatusOr<float> WeightLoader::Scalar(const std::string& name) {
  ASSIGN_OR_RETURN(const StoredTensor tensor, checkpoint_.Get(name, {1}));
  return Widen(tensor)[0];
}

absl::StatusOr<LayerWeights> WeightLoader::Layer(const std::string& prefix,
                                                 const TextConfig& config, const LayerConfig& layer,
                                                 TextRole role) {
  const int64_t d = config.hidden_size;
  const int64_t query_size = int64_t{config.query_heads} * layer.head_dim;
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  LayerWeights out;
  ASSIGN_OR_RETURN(out.input_norm, Vector(prefix + "input_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.post_attention_norm, Vector(prefix + "post_attention_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.pre_feedforward_norm,
                   Vector(prefix + "pre_feedforward_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.post_feedforward_norm,
                   Vector(prefix + "post_feedforward_layernorm.weight", d));
  ASSIGN_OR_RETURN(out.query, Linear(attention + "q_proj.weight", query_size, d));
  ASSIGN_OR_RETURN(out.output, Linear(attention + "o_proj.weight", d, query_size));
  ASSIGN_OR_RETURN(out.query_norm, Vector(attention + "q_norm.weight", layer.head_dim));
  if (role == TextRole::kTarget) RETURN_IF_ERROR(LoadKeyValue(attention, config, layer, out));
  ASSIGN_OR_RETURN(out.gate, Linear(mlp + "gate_proj.weight", config.intermediate_size, d));
  ASSIGN_OR_RETURN(out.up, Linear(mlp + "up_proj.weight", config.intermediate_size, d));
  ASSIGN_OR_RETURN(out.down, Linear(mlp + "down_proj.weight", d, config.intermediate_size));
  ASSIGN_OR_RETURN(out.layer_scalar, Scalar(prefix + "layer_scalar"));
  return out;
}

absl::Status WeightLoader::LoadKeyValue(const std::string& attention, const TextConfig& config,
                                        const LayerConfig& layer, LayerWeights& out) {
  const int64_t kv_size = int64_t{layer.kv_heads} * layer.head_dim;
  ASSIGN_OR_RETURN(out.key, Linear(attention + "k_proj.weight", kv_size, config.hidden_size));
  if (layer.kind == KvKind::kSliding) {
    ASSIGN_OR_RETURN(out.value, Linear(attention + "v_proj.weight", kv_size, config.hidden_size));
  }
  ASSIGN_OR_RETURN(out.key_norm, Vector(attention + "k_norm.weight", layer.head_dim));
  return absl::OkStatus();
}

}  // namespace cleave
