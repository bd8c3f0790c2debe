#include "prefill/frame_schedule.h"

#include <algorithm>

namespace cleave {
namespace {

// Pages that are complete once `computed` positions are: the partly used last one only at the end.
int64_t CompletePages(const KvShape& shape, int64_t computed, int64_t num_positions) {
  const int64_t whole = computed / shape.page_tokens;
  const bool partial_last = computed == num_positions && computed % shape.page_tokens != 0;
  return whole + (partial_last ? 1 : 0);
}

}  // namespace

FrameSlice FinishedPages(const KvShape& shape, const TransferPlan& plan,
                         const ChunkProgress& progress, PoolKind pool, int64_t layer) {
  const int64_t begin = pool == PoolKind::kFull ? 0 : plan.first_sliding_page;
  const int64_t first =
      std::max(begin, CompletePages(shape, progress.computed_before, progress.num_positions));
  const int64_t end = CompletePages(shape, progress.computed_after, progress.num_positions);
  return {.pool = pool,
          .layer = layer,
          .first_page = first,
          .page_count = std::max<int64_t>(0, end - first)};
}

}  // namespace cleave
