// Which frames make up a transfer, and whether those that arrived do.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/link/link_messages.h"

struct XXH3_state_s;

namespace cleave {

// What the link must know of the KV layout. Equal on both ends, since the layout hash is.
struct KvShape {
  int page_tokens = 0;  // rows of a page
  int window = 0;       // positions a sliding layer's row sees, itself included
  int64_t full_layers = 0;
  int64_t sliding_layers = 0;
  int64_t full_page_bytes = 0;     // of one layer of one page
  int64_t sliding_page_bytes = 0;  // of one layer of one page

  int64_t layers(PoolKind pool) const {
    return pool == PoolKind::kFull ? full_layers : sliding_layers;
  }
  int64_t page_bytes(PoolKind pool) const {
    return pool == PoolKind::kFull ? full_page_bytes : sliding_page_bytes;
  }
};

// All full-attention pages of `num_positions` positions, and the sliding pages that hold the last
// window-1 of them: what the row at position num_positions will read.
TransferPlan MakeTransferPlan(const KvShape& shape, int64_t num_positions);

// One layer of consecutive pages, before it has a sequence number.
struct FrameSlice {
  PoolKind pool = PoolKind::kFull;
  int64_t layer = 0;
  int64_t first_page = 0;
  int64_t page_count = 0;
};

// Whether `slice` lies inside the plan. KV_TRANSFER_CORRUPT says which number does not.
absl::Status CheckSlice(const FrameSlice& slice, const KvShape& shape, const TransferPlan& plan);

// Marks which (pool, layer, page) of one transfer have arrived. Memory: one byte for each.
class FrameCoverage {
 public:
  FrameCoverage(const KvShape& shape, const TransferPlan& plan);

  // Checks the whole header before anything is marked: KV_TRANSFER_CORRUPT when the slice leaves
  // the plan, the size is not that of its pages, or a page has come before.
  absl::Status Add(const FrameHeader& header);
  bool complete() const { return missing_ == 0; }

 private:
  uint8_t* Cells(const FrameSlice& slice);

  KvShape shape_;
  TransferPlan plan_;
  std::vector<uint8_t> arrived_;  // [full_layers, full_pages] then [sliding_layers, sliding_pages]
  int64_t missing_;
};

// XXH3-64 over the frames of one transfer in order: of each its place (pool, layer, first page and
// page count, as four little-endian 64-bit numbers), then its bytes. Finds broken memory and broken
// code, not an attacker: the stream's TLS keeps those out.
class FrameChecksum {
 public:
  FrameChecksum();
  void AddHeader(const FrameHeader& header);
  void AddBytes(absl::Span<const uint8_t> bytes);
  uint64_t value() const;

 private:
  struct Deleter {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Deleter> state_;
};

}  // namespace cleave
