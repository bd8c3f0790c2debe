#include "model/model_config.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// What media/ cuts pictures and sounds into.
constexpr int kTilePixels = 48;
constexpr int kSamplesPerToken = 640;

absl::StatusOr<int32_t> TokenId(const JsonValue& object, absl::string_view key,
                                const ModelConfig& config) {
  ASSIGN_OR_RETURN(const int64_t id, object.Int(key, {0, config.vocabulary_size - 1}));
  return static_cast<int32_t>(id);
}

absl::Status ParseTokens(const JsonValue& root, const JsonValue& text, ModelConfig& config) {
  ModelTokens& tokens = config.tokens;
  ASSIGN_OR_RETURN(tokens.pad, TokenId(text, "pad_token_id", config));
  ASSIGN_OR_RETURN(tokens.bos, TokenId(text, "bos_token_id", config));
  ASSIGN_OR_RETURN(tokens.image_begin, TokenId(root, "boi_token_id", config));
  ASSIGN_OR_RETURN(tokens.image_soft, TokenId(root, "image_token_id", config));
  ASSIGN_OR_RETURN(tokens.image_end, TokenId(root, "eoi_token_id", config));
  ASSIGN_OR_RETURN(tokens.audio_begin, TokenId(root, "boa_token_id", config));
  ASSIGN_OR_RETURN(tokens.audio_soft, TokenId(root, "audio_token_id", config));
  ASSIGN_OR_RETURN(tokens.audio_end, TokenId(root, "eoa_token_index", config));
  // Released files do not always spell it out; then it is the default of the reference's class.
  constexpr int32_t kDefaultVideoSoft = 258884;
  tokens.video_soft = kDefaultVideoSoft < config.vocabulary_size ? kDefaultVideoSoft : -1;
  if (root.Has("video_token_id")) {
    ASSIGN_OR_RETURN(tokens.video_soft, TokenId(root, "video_token_id", config));
  }
  return absl::OkStatus();
}

absl::Status ParseVision(const JsonValue& root, ModelConfig& config) {
  ASSIGN_OR_RETURN(const JsonValue vision, root.Object("vision_config"));
  VisionConfig& out = config.vision;
  ASSIGN_OR_RETURN(out.patch_pixels, ReadSize(vision, "patch_size", {1, 256}));
  ASSIGN_OR_RETURN(out.pool_patches, ReadSize(vision, "pooling_kernel_size", {1, 16}));
  ASSIGN_OR_RETURN(out.position_table, ReadSize(vision, "mm_posemb_size"));
  ASSIGN_OR_RETURN(out.embedding_dim, ReadSize(vision, "mm_embed_dim"));
  ASSIGN_OR_RETURN(out.output_dim, ReadSize(vision, "output_proj_dims"));
  ASSIGN_OR_RETURN(out.rms_epsilon, ReadPositiveFloat(vision, "rms_norm_eps"));
  if (out.tile_pixels() != kTilePixels) {
    return Unsupported(vision, "patch_size times pooling_kernel_size", absl::StrCat(kTilePixels),
                       out.tile_pixels());
  }
  if (out.output_dim != out.embedding_dim) {
    return Unsupported(vision, "output_proj_dims",
                       absl::StrCat("mm_embed_dim, ", out.embedding_dim), out.output_dim);
  }
  return absl::OkStatus();
}

absl::Status ParseAudio(const JsonValue& root, ModelConfig& config) {
  ASSIGN_OR_RETURN(const JsonValue audio, root.Object("audio_config"));
  ASSIGN_OR_RETURN(config.audio.samples_per_token, ReadSize(audio, "audio_embed_dim"));
  if (config.audio.samples_per_token != kSamplesPerToken) {
    return Unsupported(audio, "audio_embed_dim", absl::StrCat(kSamplesPerToken),
                       config.audio.samples_per_token);
  }
  ASSIGN_OR_RETURN(config.audio.rms_epsilon, ReadPositiveFloat(audio, "rms_norm_eps"));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> TokenIds(const JsonValue& object, absl::string_view key,
                                              const ModelConfig& config) {
  std::vector<int32_t> ids;
  if (!object.Has(key)) return ids;
  ASSIGN_OR_RETURN(const JsonValue member, object.Member(key));
  const IntRange range{0, config.vocabulary_size - 1};
  if (!member.IsArray()) {
    ASSIGN_OR_RETURN(const int64_t id, member.AsInt(range));
    ids.push_back(static_cast<int32_t>(id));
    return ids;
  }
  ASSIGN_OR_RETURN(const std::vector<JsonValue> elements,
                   member.AsArray(static_cast<size_t>(config.vocabulary_size)));
  for (const JsonValue& element : elements) {
    ASSIGN_OR_RETURN(const int64_t id, element.AsInt(range));
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

absl::Status ParseGeneration(const JsonValue& root, ModelConfig& config) {
  GenerationConfig& out = config.generation;
  ASSIGN_OR_RETURN(out.stop_ids, TokenIds(root, "eos_token_id", config));
  if (out.stop_ids.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(root.Where(), " eos_token_id names no token"));
  }
  ASSIGN_OR_RETURN(out.suppressed_ids, TokenIds(root, "suppress_tokens", config));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ModelConfig::Parse(absl::string_view config_json,
                                               absl::string_view generation_json,
                                               absl::string_view name) {
  ASSIGN_OR_RETURN(const JsonDocument config_file,
                   JsonDocument::Parse(config_json, absl::StrCat(name, "/config.json")));
  ASSIGN_OR_RETURN(
      const JsonDocument generation_file,
      JsonDocument::Parse(generation_json, absl::StrCat(name, "/generation_config.json")));
  const JsonValue root = config_file.root();
  ASSIGN_OR_RETURN(const std::string model_type, root.String("model_type"));
  if (model_type != "gemma4_unified") {
    return Unsupported(root, "model_type", "gemma4_unified", model_type);
  }
  ModelConfig config{};
  ASSIGN_OR_RETURN(const JsonValue text, root.Object("text_config"));
  RETURN_IF_ERROR(ParseTextConfig(text, TextRole::kTarget, config));
  ASSIGN_OR_RETURN(config.logit_softcap, ReadPositiveFloat(text, "final_logit_softcapping"));
  RETURN_IF_ERROR(ParseTokens(root, text, config));
  RETURN_IF_ERROR(ParseVision(root, config));
  RETURN_IF_ERROR(ParseAudio(root, config));
  RETURN_IF_ERROR(ParseGeneration(generation_file.root(), config));
  return config;
}

absl::StatusOr<ModelConfig> ModelConfig::Load(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string config, ReadFile(folder + "/config.json"));
  ASSIGN_OR_RETURN(const std::string generation, ReadFile(folder + "/generation_config.json"));
  return Parse(config, generation, folder);
}

}  // namespace cleave
