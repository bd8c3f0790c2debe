#include "model/text_config.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "runtime/base/status.h"

namespace cleave {

absl::StatusOr<int> ReadSize(const JsonValue& object, absl::string_view key, IntRange range) {
  ASSIGN_OR_RETURN(const int64_t value, object.Int(key, range));
  return static_cast<int>(value);
}

absl::Status Unsupported(const JsonValue& object, absl::string_view key, absl::string_view want,
                         const absl::AlphaNum& found) {
  return absl::InvalidArgumentError(
      absl::StrCat(object.Where(), " ", key, " is ", found, ", supported is ", want));
}

namespace {

absl::StatusOr<int> SizeOr(const JsonValue& object, absl::string_view key, int otherwise) {
  if (!object.Has(key)) return otherwise;
  return ReadSize(object, key);
}

absl::StatusOr<double> PositiveDouble(const JsonValue& object, absl::string_view key) {
  ASSIGN_OR_RETURN(const double value, object.Double(key));
  if (!(value > 0 && value < 1e30)) {
    return absl::InvalidArgumentError(absl::StrCat(object.Where(), " ", key, " is ", value,
                                                   ", allowed is above 0 and below 1e30"));
  }
  return value;
}

// Fields that, absent or at their neutral value, mean "this variant is not used".
absl::Status CheckVariant(const JsonValue& text) {
  for (const char* key : {"hidden_size_per_layer_input", "vocab_size_per_layer_input"}) {
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
  return absl::OkStatus();
}

absl::Status CheckRole(const JsonValue& text, TextRole role, int layers) {
  if (role == TextRole::kTarget) {
    ASSIGN_OR_RETURN(const std::string bidirectional, text.String("use_bidirectional_attention"));
    if (bidirectional != "vision") {
      return Unsupported(text, "use_bidirectional_attention", "vision", bidirectional);
    }
  }
  const int64_t wanted = role == TextRole::kTarget ? 0 : layers;
  int64_t shared = 0;
  if (text.Has("num_kv_shared_layers")) {
    ASSIGN_OR_RETURN(shared, text.Int("num_kv_shared_layers"));
  }
  if (shared == wanted) return absl::OkStatus();
  return Unsupported(text, "num_kv_shared_layers", absl::StrCat(wanted), shared);
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
  ASSIGN_OR_RETURN(const int count, ReadSize(text, "num_hidden_layers", kCountRange));
  ASSIGN_OR_RETURN(const JsonValue types_member, text.Member("layer_types"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> types, types_member.AsArray(kCountRange.max));
  if (types.size() != static_cast<size_t>(count)) {
    return absl::InvalidArgumentError(absl::StrCat(types_member.Where(), " has ", types.size(),
                                                   " entries for ", count, " layers"));
  }
  ASSIGN_OR_RETURN(const int head_dim, ReadSize(text, "head_dim", kCountRange));
  ASSIGN_OR_RETURN(const int kv_heads, ReadSize(text, "num_key_value_heads", kCountRange));
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
absl::Status CheckLayers(const TextConfig& config, absl::string_view name) {
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
    if (layer.head_dim % 2 != 0 || layer.head_dim > kHeadDimMax) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": head_dim is ", layer.head_dim,
                                                     ", allowed are even numbers up to ",
                                                     kHeadDimMax));
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

}  // namespace

absl::StatusOr<float> ReadPositiveFloat(const JsonValue& object, absl::string_view key) {
  ASSIGN_OR_RETURN(const double value, PositiveDouble(object, key));
  return static_cast<float>(value);
}

absl::Status ParseTextConfig(const JsonValue& text, TextRole role, TextConfig& config) {
  RETURN_IF_ERROR(CheckVariant(text));
  ASSIGN_OR_RETURN(config.hidden_size, ReadSize(text, "hidden_size"));
  ASSIGN_OR_RETURN(config.intermediate_size, ReadSize(text, "intermediate_size"));
  ASSIGN_OR_RETURN(config.query_heads, ReadSize(text, "num_attention_heads", kCountRange));
  ASSIGN_OR_RETURN(config.vocabulary_size, ReadSize(text, "vocab_size"));
  ASSIGN_OR_RETURN(config.sliding_window, ReadSize(text, "sliding_window"));
  ASSIGN_OR_RETURN(config.positions_max, text.Int("max_position_embeddings", kSizeRange));
  ASSIGN_OR_RETURN(config.rms_epsilon, ReadPositiveFloat(text, "rms_norm_eps"));
  ASSIGN_OR_RETURN(config.layers, ParseLayers(text));
  ASSIGN_OR_RETURN(config.sliding_rope, ParseRope(text, "sliding_attention", "default"));
  ASSIGN_OR_RETURN(config.full_rope, ParseRope(text, "full_attention", "proportional"));
  RETURN_IF_ERROR(CheckRole(text, role, config.num_layers()));
  return CheckLayers(config, text.Where());
}

}  // namespace cleave
