// How a server is asked to stop.
#pragma once

#include <csignal>

namespace cleave {

// Made first in main, before any thread: SIGTERM and SIGINT then wait for Wait instead of ending
// the process in the middle of something.
class ShutdownSignal {
 public:
  ShutdownSignal();
  // Blocks until one of them arrives; returns which.
  int Wait();

 private:
  sigset_t signals_;
};

}  // namespace cleave
