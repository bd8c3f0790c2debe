// How many rows of a prompt a step takes along beside the sequences that generate, so that these
// hardly wait: by what steps and rows have cost so far.
#pragma once

#include <cstdint>

#include "engine/step_cost.h"

namespace cleave {

// One thread uses it; takes all its memory at once.
class ChunkPlanner {
 public:
  // Steps have at most `sequences_max` sequences, and at most `rows_max` rows of a prompt.
  ChunkPlanner(int64_t rows_max, int64_t sequences_max)
      : rows_max_(rows_max), step_cost_(sequences_max) {}

  // Rows that keep a step of `sequences` within `step_seconds`, or within a quarter more than it
  // takes without them where that is longer. At least one, so that the prompt gets on, and now and
  // then enough to learn what they cost. All there may be when nobody waits.
  int64_t Rows(int64_t sequences, double step_seconds) const;

  // A whole step of `sequences` without rows of a prompt, drafting included, took `seconds`.
  void MeasuredStep(int64_t sequences, double seconds) { step_cost_.Measured(sequences, seconds); }
  // `rows` of a prompt made a step `seconds` longer.
  void MeasuredRows(int64_t rows, double seconds);

 private:
  const int64_t rows_max_;
  StepCost step_cost_;      // by sequences
  double row_seconds_ = 0;  // 0: unknown
  int64_t untold_ = 0;      // chunks since one told what a row costs
};

}  // namespace cleave
