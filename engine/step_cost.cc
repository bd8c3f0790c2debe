#include "engine/step_cost.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace cleave {
namespace {

constexpr int kWeightMax = 16;     // then a new measurement counts for a sixteenth,
constexpr int kWeightFalling = 4;  // but a smaller one for a quarter: what is noise only adds
constexpr double kHiccup = 1.5;    // of the mean: what is beyond counts as this
constexpr int64_t kForgottenAfter =
    2000;  // measurements: contexts have grown, neighbours have come

}  // namespace

StepCost::StepCost(int64_t rows_max)
    : places_(static_cast<size_t>(rows_max + 1)), fitted_(static_cast<size_t>(rows_max + 1), 0.0) {
  levels_.reserve(static_cast<size_t>(rows_max + 1));
}

void StepCost::Measured(int64_t rows, double seconds) {
  CHECK(rows >= 1);
  if (rows >= static_cast<int64_t>(places_.size())) return;
  Place& place = places_[static_cast<size_t>(rows)];
  ++measurements_;
  if (place.weight > 0 && measurements_ - place.last > kForgottenAfter) place = {};
  place.weight = std::min(place.weight + 1, kWeightMax);
  if (place.weight > 1) seconds = std::min(seconds, kHiccup * place.seconds);
  const bool falls = seconds < place.seconds;
  const int weight = falls ? std::min(place.weight, kWeightFalling) : place.weight;
  place.seconds += (seconds - place.seconds) / weight;
  place.last = measurements_;
  Fit();
}

double StepCost::Seconds(int64_t rows) const {
  return fitted_[static_cast<size_t>(
      std::min<int64_t>(rows, static_cast<int64_t>(fitted_.size()) - 1))];
}

// Pool adjacent violators: neighbours that fall are merged to their mean until nothing falls.
void StepCost::Fit() {
  levels_.clear();
  for (size_t rows = 1; rows < places_.size(); ++rows) {
    const Place& place = places_[rows];
    if (place.weight == 0 || measurements_ - place.last > kForgottenAfter) continue;
    levels_.push_back({place.seconds, double(place.weight), int64_t(rows), int64_t(rows)});
    while (levels_.size() > 1 && levels_[levels_.size() - 2].seconds >= levels_.back().seconds) {
      const Level last = levels_.back();
      levels_.pop_back();
      Level& before = levels_.back();
      const double weight = before.weight + last.weight;
      before.seconds = (before.seconds * before.weight + last.seconds * last.weight) / weight;
      before.weight = weight;
      before.last = last.last;
    }
  }
  Level below;  // no rows cost nothing
  size_t next = 0;
  for (int64_t rows = 1; rows < static_cast<int64_t>(fitted_.size()); ++rows) {
    while (next < levels_.size() && levels_[next].last < rows) below = levels_[next++];
    double& seconds = fitted_[static_cast<size_t>(rows)];
    if (next == levels_.size()) {
      seconds = below.seconds;
    } else if (levels_[next].first <= rows) {
      seconds = levels_[next].seconds;
    } else {
      const double way = double(rows - below.last) / double(levels_[next].first - below.last);
      seconds = below.seconds + way * (levels_[next].seconds - below.seconds);
    }
  }
}

}  // namespace cleave
