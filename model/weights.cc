#include "model/weights.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/weight_loader.h"
#include "runtime/base/bfloat16.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::StatusOr<VisionWeights> LoadVision(WeightLoader& loader, const ModelConfig& config) {
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
  WeightLoader loader(checkpoint, kernels);
  ModelWeights out;
  const std::string table = "model.language_model.embed_tokens.weight";
  const int64_t d = config.hidden_size;
  ASSIGN_OR_RETURN(out.token_table, loader.Linear(table, config.vocabulary_size, d));
  ASSIGN_OR_RETURN(const StoredTensor stored, checkpoint.Get(table, {config.vocabulary_size, d}));
  const float root = static_cast<float>(std::sqrt(static_cast<double>(d)));
  out.embedding_multiplier = stored.dtype == DType::kBFloat16 ? RoundToBFloat16(root) : root;
  for (const LayerConfig& shape : config.layers) {
    const std::string prefix = absl::StrCat("model.language_model.layers.", out.layers.size(), ".");
    ASSIGN_OR_RETURN(LayerWeights layer, loader.Layer(prefix, config, shape, TextRole::kTarget));
    out.layers.push_back(std::move(layer));
  }
  ASSIGN_OR_RETURN(out.final_norm, loader.Vector("model.language_model.norm.weight", d));
  out.decoder_bytes = loader.device_bytes();
  ASSIGN_OR_RETURN(out.vision, LoadVision(loader, config));
  ASSIGN_OR_RETURN(out.audio_projection,
                   loader.Linear("model.embed_audio.embedding_projection.weight", d,
                                 config.audio.samples_per_token));
  out.device_bytes = loader.device_bytes();
  return out;
}

}  // namespace cleave
