// Which pages a layer has finished with a chunk, and so can leave for the decode worker.
#pragma once

#include <cstdint>

#include "runtime/link/transfer_plan.h"

namespace cleave {

// A prompt whose positions [0, computed_before) were computed earlier and [.., computed_after) with
// this chunk, of num_positions in all.
struct ChunkProgress {
  int64_t computed_before = 0;
  int64_t computed_after = 0;
  int64_t num_positions = 0;
};

// The pages of one layer that hold their last position with this chunk, cut to those the plan
// moves: all pages of a full layer; of a sliding layer only the final window. Over all chunks of a
// prompt every page of the plan comes exactly once. page_count is 0 when there is none.
FrameSlice FinishedPages(const KvShape& shape, const TransferPlan& plan,
                         const ChunkProgress& progress, PoolKind pool, int64_t layer);

}  // namespace cleave
