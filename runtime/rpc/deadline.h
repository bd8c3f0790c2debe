// gRPC speaks of deadlines as times of the wall clock; we speak of the time that is left.
#pragma once

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cleave {

inline std::chrono::system_clock::time_point GrpcDeadline(absl::Duration time_left) {
  return absl::ToChronoTime(absl::Now() + time_left);
}

// Infinite when the call has no deadline.
inline absl::Duration TimeLeft(std::chrono::system_clock::time_point deadline) {
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  return absl::FromChrono(deadline) - absl::Now();
}

}  // namespace cleave
