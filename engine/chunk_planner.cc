#include "engine/chunk_planner.h"

#include <algorithm>

namespace cleave {
namespace {

constexpr int64_t kRowsUnmeasured = 16;  // while nothing is known
constexpr int64_t kRowsThatTell = 8;     // on fewer the noise of the whole step would be booked
constexpr int64_t kTellAgainAfter = 16;  // chunks of fewer rows
constexpr double kShareMin = 0.25;       // of a step: what a prompt may add to any

}  // namespace

int64_t ChunkPlanner::Rows(int64_t sequences, double step_seconds) const {
  if (sequences == 0) return rows_max_;
  if (row_seconds_ == 0) return std::min(kRowsUnmeasured, rows_max_);
  const double alone = step_cost_.Seconds(sequences);
  const double left = std::max(step_seconds - alone, kShareMin * alone);
  const double fit = std::min(left / row_seconds_, static_cast<double>(rows_max_));
  const int64_t least = untold_ < kTellAgainAfter ? 1 : std::min(kRowsThatTell, rows_max_);
  return std::max(least, static_cast<int64_t>(fit));
}

// Falls faster than it rises: a hiccup must not slow prompts for long.
void ChunkPlanner::MeasuredRows(int64_t rows, double seconds) {
  if (rows < kRowsThatTell) {
    ++untold_;
    return;
  }
  untold_ = 0;
  const double each = std::max(0.0, seconds) / static_cast<double>(rows);
  const double weight = row_seconds_ == 0 ? 1 : each < row_seconds_ ? 0.5 : 0.2;
  row_seconds_ += weight * (each - row_seconds_);
}

}  // namespace cleave
