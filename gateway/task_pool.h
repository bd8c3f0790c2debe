// Threads for work that would hold up gRPC's own: parsing and tokenizing large requests.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "runtime/base/mutex.h"

namespace cleave {

// A few threads ("prepare") that run tasks in the order given. Whoever adds tasks bounds their
// number. Thread-safe.
class TaskPool {
 public:
  explicit TaskPool(int num_threads);
  // Runs what was added before.
  ~TaskPool();

  void Add(std::function<void()> task);

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // last: they use everything above
};

}  // namespace cleave
