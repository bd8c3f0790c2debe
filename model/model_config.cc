#include "model/model_config.h"

#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Bounds that keep every product of two sizes far inside 63 bits.
constexpr IntRange kSize{1, 1 << 24};
constexpr IntRange kCount{1, 4096};

// What media/ cuts pictures and sounds into.
constexpr int kTilePixels = 48;
constexpr int kSamplesPerToken = 640;

absl::StatusOr<int> Size(const JsonValue& object, absl::string_view key, IntRange range = kSize) {
  ASSIGN_OR_RETURN(const int64_t value, object.Int(key, range));
  return static_cast<int>(value);
}

absl::StatusOr<int> SizeOr(const JsonValue& object, absl::string_view key, int otherwise) {
  if (!object.Has(key)) return otherwise;
  return Size(object, key);
}

absl::StatusOr<double> PositiveDouble(const JsonValue& object, absl::string_view key) {
  ASSIGN_OR_RETURN(const double value, object.Double(key));
  if (!(value > 0 && value < 1e30)) {
    return absl::InvalidArgumentError(absl::StrCat(object.Where(), " ", key, " is ", value,
                                                   ", allowed is above 0 and below 1e30"));
  }
  return value;
}

absl::StatusOr<float> PositiveFloat(const JsonValue& object, absl::string_view key) {
  ASSIGN_OR_RETURN(const double value, PositiveDouble(object, key));
  return static_cast<float>(value);
}

absl::Status Unsupported(const JsonValue& object, absl::string_view key, absl::string_view want,
                         const absl::AlphaNum& found) {
  return absl::InvalidArgumentError(
      absl::StrCat(object.Where(), " ", key, " is ", found, ", supported is ", want));
}

// Fields that, absent or at their neutral value, mean "this variant is not used".
absl::Status CheckVariant(const JsonValue& text) {
  for (const char* key :
       {"hidden_size_per_layer_input", "vocab_size_per_layer_input", "num_kv_shared_layers"}) {
    if (!text.Has(key)) continue;
    ASSIGN_OR_RETURN(const int64_t value, text.Int(key));
    if (value != 0) return Unsupported(text, key, "0", value);
  }
  for (const char* key : {"enable_moe_block", "use_double_wide_mlp", "attention_bias"}) {
    if (!text.Has(key)) continue;
    ASSIGN_OR_RETURN(const bool value, text.Bool(key));
    if (value) return Unsupported(text, key, "false", "true");
  }
  for (const char* key : {"attention_k_eq_v", "tie_word_embeddings"}) {
    ASSIGN_OR_RETURN(const bool value, text.Bool(key));
    if (!value) return Unsupported(text, key, "true", "false");
  }
  ASSIGN_OR_RETURN(const std::string activation, text.String("hidden_activation"));
  if (activation != "gelu_pytorch_tanh") {
    return Unsupported(text, "hidden_activation", "gelu_pytorch_tanh", activation);
  }
  ASSIGN_OR_RETURN(const std::string bidirectional, text.String("use_bidirectional_attention"));
  if (bidirectional != "vision") {
    return Unsupported(text, "use_bidirectional_attention", "vision", bidirectional);
  }
  return absl::OkStatus();
}

// The layer's entry in "per_layer_config", whose keys are layer numbers with leading zeros.
absl::StatusOr<std::vector<std::optional<JsonValue>>> PerLayerEntries(const JsonValue& text,
                                                                      size_t layers) {
  std::vector<std::optional<JsonValue>> entries(layers);
  if (!text.Has("per_layer_config")) return entries;
  ASSIGN_OR_RETURN(const JsonValue per_layer, text.Object("per_layer_config"));
  ASSIGN_OR_RETURN(const auto members, per_layer.AsMembers());
  for (const auto& [key, entry] : members) {
    uint32_t layer = 0;
    if (!absl::SimpleAtoi(key, &layer) || layer >= layers) {
      return absl::InvalidArgumentError(
          absl::StrCat(entry.Where(), ": no such layer, there are ", layers));
    }
    entries[layer] = entry;
  }
  return entries;
}

absl::StatusOr<std::vector<LayerConfig>> ParseLayers(const JsonValue& text) {
  ASSIGN_OR_RETURN(const int count, Size(text, "num_hidden_layers", kCount));
  ASSIGN_OR_RETURN(const JsonValue types_member, text.Member("layer_types"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> types, types_member.AsArray(kCount.max));
  if (types.size() != static_cast<size_t>(count)) {
    return absl::InvalidArgumentError(absl::StrCat(types_member.Where(), " has ", types.size(),
                                                   " entries for ", count, " layers"));
  }
  ASSIGN_OR_RETURN(const int head_dim, Size(text, "head_dim", kCount));
  ASSIGN_OR_RETURN(const int kv_heads, Size(text, "num_key_value_heads", kCount));
  ASSIGN_OR_RETURN(const int full_head_dim, SizeOr(text, "global_head_dim", head_dim));
  ASSIGN_OR_RETURN(const int full_kv_heads, SizeOr(text, "num_global_key_value_heads", kv_heads));
  ASSIGN_OR_RETURN(const auto entries, PerLayerEntries(text, types.size()));
  std::vector<LayerConfig> layers;
  for (size_t i = 0; i < types.size(); ++i) {
    ASSIGN_OR_RETURN(const absl::string_view type, types[i].AsString());
    LayerConfig layer;
    if (type == "sliding_attention") {
      layer = {KvKind::kSliding, kv_heads, head_dim};
    } else if (type == "full_attention") {
      layer = {KvKind::kFull, full_kv_heads, full_head_dim};
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          types[i].Where(), " is ", type, ", allowed are sliding_attention and full_attention"));
    }
    if (entries[i]) {
      ASSIGN_OR_RETURN(layer.head_dim, SizeOr(*entries[i], "head_dim", layer.head_dim));
      ASSIGN_OR_RETURN(layer.kv_heads, SizeOr(*entries[i], "num_key_value_heads", layer.kv_heads));
    }
    layers.push_back(layer);
  }
  return layers;
}

// All layers of a kind share one page layout, so they must agree.
absl::Status CheckLayers(const ModelConfig& config, absl::string_view name) {
  const LayerConfig* first[2] = {nullptr, nullptr};
  const auto index = [&](const LayerConfig& layer) { return &layer - config.layers.data(); };
  for (const LayerConfig& layer : config.layers) {
    const LayerConfig*& other = first[layer.kind == KvKind::kFull];
    if (other == nullptr) other = &layer;
    if (other->head_dim != layer.head_dim || other->kv_heads != layer.kv_heads) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": layers of one kind differ in shape: layer ", index(layer), " has ",
                       layer.kv_heads, " KV heads of ", layer.head_dim, ", layer ", index(*other),
                       " has ", other->kv_heads, " of ", other->head_dim));
    }
    if (config.query_heads % layer.kv_heads != 0) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": ", config.query_heads,
                                                     " query heads do not divide among ",
                                                     layer.kv_heads, " KV heads"));
    }
    if (layer.head_dim % 2 != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": head_dim ", layer.head_dim, " is odd"));
    }
  }
  if (first[0] == nullptr || first[1] == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": a model without sliding or without full layers is not supported"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RopeConfig> ParseRope(const JsonValue& text, absl::string_view kind,
                                     absl::string_view type) {
  ASSIGN_OR_RETURN(const JsonValue parameters, text.Object("rope_parameters"));
  ASSIGN_OR_RETURN(const JsonValue rope, parameters.Object(kind));
  ASSIGN_OR_RETURN(const std::string found, rope.String("rope_type"));
  if (found != type) return Unsupported(rope, "rope_type", type, found);
  RopeConfig config{.theta = 0, .rotary_fraction = 1};
  ASSIGN_OR_RETURN(config.theta, PositiveDouble(rope, "rope_theta"));
  if (rope.Has("partial_rotary_factor")) {
    ASSIGN_OR_RETURN(config.rotary_fraction, PositiveDouble(rope, "partial_rotary_factor"));
    const bool partial = type == "proportional";  // the other rotates all pairs
    if (config.rotary_fraction > 1 || (!partial && config.rotary_fraction != 1)) {
      return Unsupported(rope, "partial_rotary_factor", partial ? "at most 1" : "1",
                         config.rotary_fraction);
    }
  }
  return config;
}

absl::Status ParseText(const JsonValue& text, ModelConfig& config) {
  RETURN_IF_ERROR(CheckVariant(text));
  ASSIGN_OR_RETURN(config.hidden_size, Size(text, "hidden_size"));
  ASSIGN_OR_RETURN(config.intermediate_size, Size(text, "intermediate_size"));
  ASSIGN_OR_RETURN(config.query_heads, Size(text, "num_attention_heads", kCount));
  ASSIGN_OR_RETURN(config.vocabulary_size, Size(text, "vocab_size"));
  ASSIGN_OR_RETURN(config.sliding_window, Size(text, "sliding_window"));
  ASSIGN_OR_RETURN(config.positions_max, text.Int("max_position_embeddings", kSize));
  ASSIGN_OR_RETURN(config.rms_epsilon, PositiveFloat(text, "rms_norm_eps"));
  ASSIGN_OR_RETURN(config.logit_softcap, PositiveFloat(text, "final_logit_softcapping"));
  ASSIGN_OR_RETURN(config.layers, ParseLayers(text));
  ASSIGN_OR_RETURN(config.sliding_rope, ParseRope(text, "sliding_attention", "default"));
  ASSIGN_OR_RETURN(config.full_rope, ParseRope(text, "full_attention", "proportional"));
  return CheckLayers(config, text.Where());
}

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
  ASSIGN_OR_RETURN(out.patch_pixels, Size(vision, "patch_size", {1, 256}));
  ASSIGN_OR_RETURN(out.pool_patches, Size(vision, "pooling_kernel_size", {1, 16}));
  ASSIGN_OR_RETURN(out.position_table, Size(vision, "mm_posemb_size"));
  ASSIGN_OR_RETURN(out.embedding_dim, Size(vision, "mm_embed_dim"));
  ASSIGN_OR_RETURN(out.output_dim, Size(vision, "output_proj_dims"));
  ASSIGN_OR_RETURN(out.rms_epsilon, PositiveFloat(vision, "rms_norm_eps"));
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
  ASSIGN_OR_RETURN(config.audio.samples_per_token, Size(audio, "audio_embed_dim"));
  if (config.audio.samples_per_token != kSamplesPerToken) {
    return Unsupported(audio, "audio_embed_dim", absl::StrCat(kSamplesPerToken),
                       config.audio.samples_per_token);
  }
  ASSIGN_OR_RETURN(config.audio.rms_epsilon, PositiveFloat(audio, "rms_norm_eps"));
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
  RETURN_IF_ERROR(ParseText(text, config));
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
