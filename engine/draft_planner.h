// How many tokens to draft for each sequence of a step: so many that the expected time per token is
// least, by the acceptance and the costs that have been measured. It may be none. Now and then a
// draft each, and none at all, are tried whatever they promise.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/step_cost.h"

namespace cleave {

inline constexpr int kDraftsMax = 8;  // of one sequence in one step

// How often drafts are accepted, by their place in a round; newer rounds count more.
class DraftAcceptance {
 public:
  // `memory`: about how many of the last rounds count; more than 1.
  explicit DraftAcceptance(double memory) : keep_(1 - 1 / memory) {}

  // A round had `drafted` drafts, of which the first `accepted` were right.
  void Observe(int drafted, int accepted);
  // Chance that the draft at `place` (0 is the first) is accepted when all before it are. What has
  // been observed little leans on `prior`.
  double Rate(int place, double prior) const;

 private:
  double keep_;
  std::array<double, kDraftsMax> tried_{}, right_{};
};

struct DraftOptions {
  int drafts_max = 6;    // of a sequence in a step, 0 to kDraftsMax
  bool adaptive = true;  // false: always drafts_max, as far as there is room
  // False: drafts are the drafter's likeliest tokens, whatever the target draws with. To compare.
  bool shared_noise = true;
};

// One thread uses it; takes all its memory at once.
class DraftPlanner {
 public:
  // Steps have at most `rows_max` rows and `sequences_max` sequences.
  DraftPlanner(const DraftOptions& options, int64_t rows_max, int64_t sequences_max);

  struct Sequence {
    const DraftAcceptance* acceptance = nullptr;
    int drafts_max = 0;  // what the sequence has room for
    int drafts = 0;      // the plan
  };
  // Fills `drafts`. Sequences of a step draft together: draft k of all in one pass of the drafter,
  // then one pass of the target over (1 + drafts) rows of each.
  void Plan(absl::Span<Sequence> sequences);

  // What the step that followed has shown.
  void Observe(int drafted, int accepted) { everybody_.Observe(drafted, accepted); }
  void MeasuredDraft(int64_t rows, double seconds) { draft_cost_.Measured(rows, seconds); }
  void MeasuredVerify(int64_t rows, double seconds) { verify_cost_.Measured(rows, seconds); }

  // What a step over so many rows is expected to cost, in seconds.
  double VerifySeconds(int64_t rows) const { return verify_cost_.Seconds(rows); }

  const DraftOptions& options() const { return options_; }

 private:
  struct Draft {
    double chance;  // that this draft and all before it are accepted
    int sequence;
    int place;
  };
  void ListDrafts(absl::Span<const Sequence> sequences, bool trial);
  size_t BestCount(int64_t sequences, size_t least);

  const DraftOptions options_;
  const int64_t rows_max_;
  StepCost draft_cost_, verify_cost_;
  DraftAcceptance everybody_;
  std::vector<Draft> drafts_;                // that a step could have, likeliest first
  std::array<int64_t, kDraftsMax> width_{};  // sequences that draft at each place
  int64_t steps_ = 0;                        // planned
};

}  // namespace cleave
