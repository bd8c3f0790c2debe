#include "runtime/base/clock.h"

#include <chrono>

namespace cleave {
namespace {

int64_t SteadyNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

RealClock::RealClock()
    : wall_at_start_(absl::Now()), steady_at_start_nanoseconds_(SteadyNanoseconds()) {}

absl::Time RealClock::Now() const {
  return wall_at_start_ + absl::Nanoseconds(SteadyNanoseconds() - steady_at_start_nanoseconds_);
}

void SleepFor(absl::Duration duration) { absl::SleepFor(duration); }

}  // namespace cleave
