// Threads that share the items of one piece of work at a time, a few microseconds apart.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace cleave::cpu {

// One thread at a time calls Run and works along. A worker that finds nothing to do looks again for
// some 20 microseconds, the gap between two operations of a step, and then sleeps; work never waits
// for a sleeper, whose items the others take.
class ThreadPool {
 public:
  // `threads` counts the caller; 1 starts none. They are named "kernels".
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls work(item, thread) once for every item of [0, count), count below 2^32, in any order;
  // `thread` is below threads() and no two calls at a time have the same. Returns when all have
  // returned.
  using Work = absl::FunctionRef<void(int64_t item, int thread)>;
  void Run(int64_t count, Work work);

 private:
  void WorkerLoop(int thread);
  void TakeItems(uint32_t job, int thread);

  // The number of the job in the upper half, the next item to take in the lower: an item can be
  // taken only from the job whose number it was looked up with.
  std::atomic<uint64_t> next_{0};
  std::atomic<const Work*> work_{nullptr};
  std::atomic<uint32_t> count_{0};
  std::atomic<uint32_t> done_{0};
  std::atomic<uint32_t> job_{0};  // workers sleep on it
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

// Processors that this process may use.
int AvailableProcessors();

}  // namespace cleave::cpu
