#include "model/kv_layout.h"

#include "absl/strings/str_cat.h"

namespace cleave {
namespace {

std::string DescribeKind(const KvLayout::Kind& kind) {
  return absl::StrCat(kind.layers, "x", kind.kv_heads, "x", kind.head_dim,
                      kind.rotated_dims > 0 ? absl::StrCat("+", kind.rotated_dims) : "");
}

// Dimensions of a key that rotate, if they are all of it that must be stored. The full layers' K
// and V come from one projection, so V stands in for the rest.
int RotatedDims(const ModelConfig& config, const LayerConfig& layer, KvForm form) {
  if (layer.kind != KvKind::kFull || form == KvForm::kPlain) return 0;
  const int half = layer.head_dim / 2;
  const int pairs = static_cast<int>(config.full_rope.rotary_fraction * half);
  return pairs < half ? 2 * pairs : 0;
}

}  // namespace

absl::StatusOr<KvLayout> KvLayout::Create(const ModelConfig& config,
                                          const KvLayoutOptions& options) {
  const auto [page_tokens, dtype, form] = options;
  if (page_tokens != 8 && page_tokens != 16 && page_tokens != 32 && page_tokens != 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("a KV page of ", page_tokens, " tokens; allowed are 8, 16, 32 and 64"));
  }
  if (dtype != DType::kBFloat16 && dtype != DType::kFloat32) {
    return absl::InvalidArgumentError(
        absl::StrCat("KV in ", DTypeName(dtype), "; allowed are bfloat16 and float32"));
  }
  KvLayout layout;
  layout.page_tokens_ = page_tokens;
  layout.sliding_window_ = config.sliding_window;
  layout.dtype_ = dtype;
  for (const LayerConfig& layer : config.layers) {
    Kind& kind = layer.kind == KvKind::kFull ? layout.full_ : layout.sliding_;
    layout.index_in_kind_.push_back(kind.layers++);
    kind.kv_heads = layer.kv_heads;
    kind.head_dim = layer.head_dim;
    kind.rotated_dims = RotatedDims(config, layer, form);
    const int64_t key_dims = kind.rotated_dims > 0 ? kind.rotated_dims : layer.head_dim;
    kind.layer_bytes = int64_t{layer.kv_heads} * page_tokens * (layer.head_dim + key_dims) *
                       static_cast<int64_t>(DTypeBytes(dtype));
    kind.page_bytes = kind.layers * kind.layer_bytes;
  }
  return layout;
}

std::string KvLayout::description() const {
  return absl::StrCat(full_.rotated_dims > 0 ? "compact/1 " : "plain/1 ", DTypeName(dtype_),
                      " page ", page_tokens_, " window ", sliding_window_, " sliding ",
                      DescribeKind(sliding_), " full ", DescribeKind(full_));
}

KvShape KvLayout::shape() const {
  return {.page_tokens = page_tokens_,
          .window = sliding_window_,
          .full_layers = full_.layers,
          .sliding_layers = sliding_.layers,
          .full_page_bytes = full_.layer_bytes,
          .sliding_page_bytes = sliding_.layer_bytes};
}

}  // namespace cleave
