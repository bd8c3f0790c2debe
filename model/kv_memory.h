// The device memory behind a worker's two page pools. It knows sizes and places; who owns which
// page is runtime/kv's business.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "model/kv_layout.h"
#include "model/weights.h"

namespace cleave {

struct KvPoolSizes {
  int64_t sliding_pages = 0;
  int64_t full_pages = 0;
};

// Owned by the engine; the kernels write it on their stream, the KV link reads and writes whole
// ranges of pages that the engine has pinned for it.
class KvMemory {
 public:
  // RESOURCE_EXHAUSTED when the device has no room for the pools.
  static absl::StatusOr<KvMemory> Create(const KvLayout& layout, const KvPoolSizes& sizes,
                                         Device& device);

  const KvLayout& layout() const { return layout_; }
  int64_t pages(KvKind kind) const {
    return kind == KvKind::kFull ? sizes_.full_pages : sizes_.sliding_pages;
  }

  // What the kernels need to store and read layer `layer` of the model.
  KvLayerView LayerView(int layer, const ModelConfig& config, const LayerWeights& weights) const;

  // The bytes of one layer (counted within its kind) of one page.
  void* LayerBytes(KvKind kind, PageId page, int layer_in_kind) const;

  // The same, when the device is the host.
  absl::Span<uint8_t> HostLayerBytes(KvKind kind, PageId page, int layer_in_kind) const;

  // Copies all of a page, behind what `stream` has been given.
  void CopyPage(KvKind kind, PageId from, PageId to, Stream& stream) const;

  // Fills a page with NaN, so that a test notices whoever reads what is no longer its own. Host
  // memory only.
  void Poison(KvKind kind, PageId page) const;

 private:
  KvMemory(KvLayout layout, KvPoolSizes sizes, Buffer sliding, Buffer full)
      : layout_(std::move(layout)),
        sizes_(sizes),
        sliding_(std::move(sliding)),
        full_(std::move(full)) {}
  const Buffer& pool(KvKind kind) const { return kind == KvKind::kFull ? full_ : sliding_; }

  KvLayout layout_;
  KvPoolSizes sizes_;
  Buffer sliding_;
  Buffer full_;
};

}  // namespace cleave
