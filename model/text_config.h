// The shape of a decoder: what the text_config of a config.json says. The target and its drafter
// each have one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/kernels.h"
#include "runtime/base/json.h"

namespace cleave {

struct LayerConfig {
  KvKind kind;
  int kv_heads;
  int head_dim;
};

struct RopeConfig {
  double theta;
  double rotary_fraction;  // share of the pairs that rotate: 1, or less on full layers
};

struct TextConfig {
  int hidden_size;
  int intermediate_size;
  int query_heads;
  int vocabulary_size;
  int sliding_window;     // keys a query sees on sliding layers, itself included
  int64_t positions_max;  // longest sequence
  float rms_epsilon;
  std::vector<LayerConfig> layers;
  RopeConfig sliding_rope;
  RopeConfig full_rope;

  int num_layers() const { return static_cast<int>(layers.size()); }
  const RopeConfig& rope(KvKind kind) const {
    return kind == KvKind::kFull ? full_rope : sliding_rope;
  }
};

enum class TextRole {
  kTarget,   // every layer makes K and V, pictures are seen both ways, logits are capped
  kDrafter,  // no layer makes K and V: it reads the target's
};

// Reads a text_config object, in either spelling of the per-layer shapes. INVALID_ARGUMENT, naming
// file and field, for anything malformed, out of range, or a variant that this code does not
// compute.
absl::Status ParseTextConfig(const JsonValue& text, TextRole role, TextConfig& config);

// ---- What the readers of the other parts use too.

// Bounds that keep every product of two sizes far inside 63 bits.
inline constexpr IntRange kSizeRange{1, 1 << 24};
inline constexpr IntRange kCountRange{1, 4096};

absl::StatusOr<int> ReadSize(const JsonValue& object, absl::string_view key,
                             IntRange range = kSizeRange);
// A number above 0 and below 1e30.
absl::StatusOr<float> ReadPositiveFloat(const JsonValue& object, absl::string_view key);
absl::Status Unsupported(const JsonValue& object, absl::string_view key, absl::string_view want,
                         const absl::AlphaNum& found);

}  // namespace cleave
