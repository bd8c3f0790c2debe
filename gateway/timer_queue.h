// Calls made at a given time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace cleave {

// One thread of its own ("timer") that sleeps until the next call is due. Calls must be short and
// must hold what they touch by weak_ptr or shared_ptr: a removed call may be running already.
// Thread-safe.
class TimerQueue {
 public:
  using Id = std::pair<absl::Time, uint64_t>;

  // `clock` must outlive the queue and run at real speed.
  explicit TimerQueue(const Clock& clock);
  // Calls not made yet are dropped. Must not be destroyed from one of its own calls.
  ~TimerQueue();

  Id Add(absl::Time at, std::function<void()> call);
  void Remove(const Id& id);

 private:
  void Run();

  const Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  std::map<Id, std::function<void()>> calls_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses everything above
};

}  // namespace cleave
