// Time comes in through the constructor, so that a test can turn it by hand.
#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cleave {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes backwards. Real clocks start at the wall time of the process's start.
  virtual absl::Time Now() const = 0;
};

// The machine's steady clock.
class RealClock final : public Clock {
 public:
  RealClock();
  absl::Time Now() const override;

 private:
  absl::Time wall_at_start_;
  int64_t steady_at_start_nanoseconds_;
};

// A clock that moves only when told to. Not thread-safe: for single-threaded simulations.
class SimulatedClock final : public Clock {
 public:
  absl::Time Now() const override { return now_; }
  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(24 * 365);
};

// Blocks the calling thread. For start-up, shutdown and command lines; engines wait on mailboxes.
void SleepFor(absl::Duration duration);

}  // namespace cleave
