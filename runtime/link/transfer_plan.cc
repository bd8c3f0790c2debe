#include "runtime/link/transfer_plan.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

absl::Status Corrupt(absl::string_view what, int64_t found, absl::string_view expected) {
  return LinkError(Reason::kKvTransferCorrupt,
                   absl::StrCat("frame ", what, " is ", found, ", expected ", expected));
}

}  // namespace

TransferPlan MakeTransferPlan(const KvShape& shape, int64_t num_positions) {
  CHECK(num_positions > 0);
  const int64_t pages = (num_positions + shape.page_tokens - 1) / shape.page_tokens;
  const int64_t first_position = std::max<int64_t>(0, num_positions - (shape.window - 1));
  const int64_t first_sliding =
      first_position < num_positions ? first_position / shape.page_tokens : pages;
  const int64_t sliding = pages - first_sliding;
  return {.full_pages = pages,
          .first_sliding_page = first_sliding,
          .sliding_pages = sliding,
          .total_bytes = pages * shape.full_layers * shape.full_page_bytes +
                         sliding * shape.sliding_layers * shape.sliding_page_bytes};
}

absl::Status CheckSlice(const FrameSlice& slice, const KvShape& shape, const TransferPlan& plan) {
  if (slice.pool != PoolKind::kFull && slice.pool != PoolKind::kSliding) {
    return Corrupt("pool", static_cast<int64_t>(slice.pool), "full or sliding");
  }
  const bool full = slice.pool == PoolKind::kFull;
  const int64_t begin = full ? 0 : plan.first_sliding_page;
  const int64_t end = begin + (full ? plan.full_pages : plan.sliding_pages);
  if (slice.layer < 0 || slice.layer >= shape.layers(slice.pool)) {
    return Corrupt("layer", slice.layer, absl::StrCat("less than ", shape.layers(slice.pool)));
  }
  if (slice.first_page < begin || slice.first_page >= end) {
    return Corrupt("first page", slice.first_page, absl::StrCat(begin, " to ", end - 1));
  }
  if (slice.page_count < 1 || slice.page_count > end - slice.first_page) {
    return Corrupt("page count", slice.page_count, absl::StrCat("1 to ", end - slice.first_page));
  }
  return absl::OkStatus();
}

FrameCoverage::FrameCoverage(const KvShape& shape, const TransferPlan& plan)
    : shape_(shape),
      plan_(plan),
      arrived_(static_cast<size_t>(shape.full_layers * plan.full_pages +
                                   shape.sliding_layers * plan.sliding_pages)),
      missing_(static_cast<int64_t>(arrived_.size())) {}

absl::Status FrameCoverage::Add(const FrameHeader& header) {
  const FrameSlice slice{header.pool, header.layer, header.first_page, header.page_count};
  RETURN_IF_ERROR(CheckSlice(slice, shape_, plan_));
  const int64_t bytes = slice.page_count * shape_.page_bytes(slice.pool);
  if (header.bytes != bytes) return Corrupt("size", header.bytes, absl::StrCat(bytes, " bytes"));
  uint8_t* cells = Cells(slice);
  if (std::find(cells, cells + slice.page_count, 1) != cells + slice.page_count) {
    return LinkError(Reason::kKvTransferCorrupt, "frame repeats a page");
  }
  std::fill(cells, cells + slice.page_count, 1);
  missing_ -= slice.page_count;
  return absl::OkStatus();
}

uint8_t* FrameCoverage::Cells(const FrameSlice& slice) {
  const int64_t offset = slice.pool == PoolKind::kFull
                             ? slice.layer * plan_.full_pages + slice.first_page
                             : shape_.full_layers * plan_.full_pages +
                                   slice.layer * plan_.sliding_pages + slice.first_page -
                                   plan_.first_sliding_page;
  return arrived_.data() + offset;
}

void FrameChecksum::Deleter::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

FrameChecksum::FrameChecksum() : state_(XXH3_createState()) {
  CHECK(state_ != nullptr);
  XXH3_64bits_reset(state_.get());
}

void FrameChecksum::AddHeader(const FrameHeader& header) {
  static_assert(std::endian::native == std::endian::little);
  const int64_t place[] = {static_cast<int64_t>(header.pool), header.layer, header.first_page,
                           header.page_count};
  XXH3_64bits_update(state_.get(), place, sizeof(place));
}

void FrameChecksum::AddBytes(absl::Span<const uint8_t> bytes) {
  XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
}

uint64_t FrameChecksum::value() const { return XXH3_64bits_digest(state_.get()); }

}  // namespace cleave
