// What a checkpoint folder says about its model: config.json and generation_config.json, read into
// plain numbers and checked against what this code can compute.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/text_config.h"

namespace cleave {

// Ids with a meaning of their own. The tokenizer has more; these are the ones the model needs.
struct ModelTokens {
  int32_t pad;  // also looked up in place of every soft token
  int32_t bos;
  int32_t image_begin, image_soft, image_end;
  int32_t audio_begin, audio_soft, audio_end;
  int32_t video_soft;  // -1: the vocabulary has none

  bool IsSoft(int32_t id) const { return id == image_soft || id == audio_soft || id == video_soft; }
};

struct VisionConfig {
  int patch_pixels;    // 16
  int pool_patches;    // 3: a tile is (patch_pixels * pool_patches)^2 pixels
  int position_table;  // entries per axis: 1120
  int embedding_dim;   // of the tile after its dense layer
  int output_dim;      // what the projection reads; equals embedding_dim
  float rms_epsilon;

  int tile_pixels() const { return patch_pixels * pool_patches; }
  int tile_values() const { return tile_pixels() * tile_pixels() * 3; }
};

struct AudioConfig {
  int samples_per_token;  // 640
  float rms_epsilon;
};

// The ids that end or never enter an answer. (What a request gets when it says nothing is the
// gateway's.)
struct GenerationConfig {
  std::vector<int32_t> stop_ids;
  std::vector<int32_t> suppressed_ids;
};

struct ModelConfig : TextConfig {
  // Reads config.json and generation_config.json of `folder`. Either spelling of the per-layer
  // shapes is taken. NOT_FOUND when a file is missing; INVALID_ARGUMENT, naming file and field, for
  // anything malformed, out of range, or a variant of the architecture that this code does not
  // compute.
  static absl::StatusOr<ModelConfig> Load(const std::string& folder);
  // The same from texts. `name` stands in messages.
  static absl::StatusOr<ModelConfig> Parse(absl::string_view config_json,
                                           absl::string_view generation_json,
                                           absl::string_view name);

  float logit_softcap;
  ModelTokens tokens;
  VisionConfig vision;
  AudioConfig audio;
  GenerationConfig generation;
};

}  // namespace cleave
