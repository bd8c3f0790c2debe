#include "engine/draft_planner.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace cleave {
namespace {

constexpr double kPriorRounds = 2;  // what a prior counts for
constexpr double kFirstRate = 0.7;  // expected of a drafter that has not shown anything
constexpr double kEverybodysMemory = 200;
// In every so many-th step each sequence has a draft: its text may have become easier. All in the
// same step, since they share the passes. Half way between, none has: it may cost less by now.
constexpr int64_t kTrialEvery = 48;
// What drafts must promise to save, of the time per token: less is lost in what is not known well.
constexpr double kGainMin = 0.04;

}  // namespace

void DraftAcceptance::Observe(int drafted, int accepted) {
  for (int place = 0; place < std::min(drafted, accepted + 1); ++place) {
    const auto i = static_cast<size_t>(place);
    tried_[i] = tried_[i] * keep_ + 1;
    right_[i] = right_[i] * keep_ + (place < accepted ? 1 : 0);
  }
}

double DraftAcceptance::Rate(int place, double prior) const {
  const auto i = static_cast<size_t>(place);
  return (right_[i] + kPriorRounds * prior) / (tried_[i] + kPriorRounds);
}

DraftPlanner::DraftPlanner(const DraftOptions& options, int64_t rows_max, int64_t sequences_max)
    : options_(options),
      rows_max_(rows_max),
      draft_cost_(sequences_max),
      verify_cost_(rows_max),
      everybody_(kEverybodysMemory) {
  CHECK(options.drafts_max >= 0 && options.drafts_max <= kDraftsMax);
  drafts_.reserve(static_cast<size_t>(sequences_max * kDraftsMax));
}

void DraftPlanner::Plan(absl::Span<Sequence> sequences) {
  for (Sequence& sequence : sequences) sequence.drafts = 0;
  ++steps_;
  if (options_.adaptive && steps_ % kTrialEvery == kTrialEvery / 2) return;
  const bool trial = options_.adaptive && steps_ % kTrialEvery == 0;
  ListDrafts(sequences, trial);
  const auto room = static_cast<size_t>(rows_max_) - sequences.size();
  if (drafts_.size() > room) drafts_.resize(room);
  size_t count = drafts_.size();
  if (options_.adaptive) {
    const auto is_first = [](const Draft& draft) { return draft.place == 0; };
    const auto firsts = std::count_if(drafts_.begin(), drafts_.end(), is_first);
    count =
        BestCount(static_cast<int64_t>(sequences.size()), trial ? static_cast<size_t>(firsts) : 0);
  }
  for (size_t i = 0; i < count; ++i) ++sequences[static_cast<size_t>(drafts_[i].sequence)].drafts;
}

// A sequence's drafts are ever less likely, so any number of the likeliest is a plan without gaps.
// In a trial the first ones stand before all others.
void DraftPlanner::ListDrafts(absl::Span<const Sequence> sequences, bool trial) {
  drafts_.clear();
  for (size_t s = 0; s < sequences.size(); ++s) {
    double chance = 1;
    const int count = std::min(sequences[s].drafts_max, options_.drafts_max);
    for (int place = 0; place < count; ++place) {
      chance *= sequences[s].acceptance->Rate(place, everybody_.Rate(place, kFirstRate));
      drafts_.push_back({chance, static_cast<int>(s), place});
    }
  }
  std::sort(drafts_.begin(), drafts_.end(), [trial](const Draft& a, const Draft& b) {
    if (trial && (a.place == 0) != (b.place == 0)) return a.place == 0;
    if (a.chance != b.chance) return a.chance > b.chance;
    return a.place != b.place ? a.place < b.place : a.sequence < b.sequence;
  });
}

// How many of the drafts, from the first on and at least `least`, give the least expected time per
// token. No more than those without a gain.
size_t DraftPlanner::BestCount(int64_t sequences, size_t least) {
  width_.fill(0);
  double drafting = 0, tokens = static_cast<double>(sequences);
  double best = (1 - kGainMin) * verify_cost_.Seconds(sequences) / tokens;
  size_t best_count = 0;
  for (size_t i = 0; i < drafts_.size(); ++i) {
    int64_t& width = width_[static_cast<size_t>(drafts_[i].place)];
    drafting -= draft_cost_.Seconds(width);
    drafting += draft_cost_.Seconds(++width);
    tokens += drafts_[i].chance;
    const double verifying = verify_cost_.Seconds(sequences + static_cast<int64_t>(i) + 1);
    const double per_token = (drafting + verifying) / tokens;
    if (per_token > best && i >= least) continue;
    best = per_token;
    best_count = i + 1;
  }
  return best_count;
}

}  // namespace cleave
