#include "gateway/timer_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace cleave {
namespace {

TEST(TimerQueueTest, CallsInOrderOfTime) {
  const RealClock clock;
  Mutex mutex;
  CondVar done;
  std::vector<int> calls;
  TimerQueue timers(clock);
  const auto add = [&](int number, absl::Duration delay) {
    return timers.Add(clock.Now() + delay, [&, number] {
      MutexLock lock(mutex);
      calls.push_back(number);
      done.NotifyAll();
    });
  };
  add(3, absl::Milliseconds(30));
  add(1, absl::Milliseconds(1));
  const TimerQueue::Id removed = add(2, absl::Milliseconds(10));
  timers.Remove(removed);
  timers.Remove(removed);
  add(9, absl::Hours(1));  // dropped at the end
  MutexLock lock(mutex);
  while (calls.size() < 2) done.WaitFor(mutex, absl::Seconds(5));
  EXPECT_EQ(calls, (std::vector<int>{1, 3}));
}

}  // namespace
}  // namespace cleave
