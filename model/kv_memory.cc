#include "model/kv_memory.h"

#include <cstring>
#include <utility>

#include "runtime/base/status.h"

namespace cleave {

absl::StatusOr<KvMemory> KvMemory::Create(const KvLayout& layout, const KvPoolSizes& sizes,
                                          Device& device) {
  const auto bytes = [&](KvKind kind, int64_t pages) {
    return static_cast<size_t>(layout.kind(kind).page_bytes * pages);
  };
  ASSIGN_OR_RETURN(Buffer sliding, device.Allocate(bytes(KvKind::kSliding, sizes.sliding_pages)));
  ASSIGN_OR_RETURN(Buffer full, device.Allocate(bytes(KvKind::kFull, sizes.full_pages)));
  return KvMemory(layout, sizes, std::move(sliding), std::move(full));
}

KvLayerView KvMemory::LayerView(int layer, const ModelConfig& config,
                                const LayerWeights& weights) const {
  const KvKind kind = config.layers[static_cast<size_t>(layer)].kind;
  const KvLayout::Kind& shape = layout_.kind(kind);
  return {.data = pool(kind).data(),
          .device = pool(kind).device(),
          .dtype = layout_.dtype(),
          .kind = kind,
          .page_bytes = shape.page_bytes,
          .layer_offset = layout_.index_in_kind(layer) * shape.layer_bytes,
          .kv_heads = shape.kv_heads,
          .head_dim = shape.head_dim,
          .page_tokens = layout_.page_tokens(),
          .window = kind == KvKind::kSliding ? config.sliding_window : 0,
          .rotated_dims = shape.rotated_dims,
          .key_scale = weights.key_norm.view()};
}

void* KvMemory::LayerBytes(KvKind kind, PageId page, int layer_in_kind) const {
  const KvLayout::Kind& shape = layout_.kind(kind);
  return static_cast<char*>(pool(kind).data()) + static_cast<int64_t>(page) * shape.page_bytes +
         layer_in_kind * shape.layer_bytes;
}

absl::Span<uint8_t> KvMemory::HostLayerBytes(KvKind kind, PageId page, int layer_in_kind) const {
  return {static_cast<uint8_t*>(LayerBytes(kind, page, layer_in_kind)),
          static_cast<size_t>(layout_.kind(kind).layer_bytes)};
}

void KvMemory::CopyPage(KvKind kind, PageId from, PageId to, Stream& stream) const {
  stream.Copy(LayerBytes(kind, to, 0), LayerBytes(kind, from, 0),
              static_cast<size_t>(layout_.kind(kind).page_bytes));
}

void KvMemory::Poison(KvKind kind, PageId page) const {
  // All bits set is a NaN in both dtypes.
  std::memset(LayerBytes(kind, page, 0), 0xff, static_cast<size_t>(layout_.kind(kind).page_bytes));
}

}  // namespace cleave
