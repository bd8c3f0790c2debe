// What waits for points in time.
#pragma once

#include "absl/time/time.h"

namespace cleave {

class LinkTicker {
 public:
  virtual ~LinkTicker() = default;
  // Acts on every wait whose time is up. Called at NextDeadline() or earlier.
  virtual void OnTick() = 0;
  virtual absl::Time NextDeadline() const = 0;
  // Shut down, with nothing left to wait for.
  virtual bool done() const = 0;
};

}  // namespace cleave
