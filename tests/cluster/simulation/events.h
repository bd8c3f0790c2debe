// What happens when, on a clock that jumps from one event to the next.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "tests/runtime/random_walk.h"

namespace cleave::simulation {

class Events {
 public:
  const SimulatedClock& clock() const { return clock_; }
  absl::Time Now() const { return clock_.Now(); }

  // Those of one time come in the order in which they were added.
  void At(absl::Time when, std::function<void()> what) { events_.emplace(when, std::move(what)); }
  void After(absl::Duration pause, std::function<void()> what) {
    At(Now() + pause, std::move(what));
  }

  absl::Time Next() const {
    return events_.empty() ? absl::InfiniteFuture() : events_.begin()->first;
  }
  // Lets all happen that is due at `now`, which is not in the past.
  void AdvanceTo(absl::Time now) {
    if (now > Now()) clock_.Advance(now - Now());
    while (Next() <= Now()) {
      const auto what = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      what();
    }
  }

 private:
  SimulatedClock clock_;
  std::multimap<absl::Time, std::function<void()>> events_;
};

// What goes one after the other in one direction: each arrives some time after it was sent, and
// behind what was sent before it.
class Lane {
 public:
  explicit Lane(Events& events) : events_(events) {}
  void Send(absl::Duration delay, std::function<void()> arrive) {
    last_ = std::max(last_ + absl::Nanoseconds(1), events_.Now() + delay);
    events_.At(last_, std::move(arrive));
  }

 private:
  Events& events_;
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace cleave::simulation
