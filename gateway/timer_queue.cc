#include "gateway/timer_queue.h"

#include "runtime/base/thread_name.h"

namespace cleave {

TimerQueue::TimerQueue(const Clock& clock) : clock_(clock), thread_([this] { Run(); }) {}

TimerQueue::~TimerQueue() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

TimerQueue::Id TimerQueue::Add(absl::Time at, std::function<void()> call) {
  MutexLock lock(mutex_);
  const Id id{at, next_number_++};
  const bool is_first = calls_.empty() || id < calls_.begin()->first;
  calls_.emplace(id, std::move(call));
  if (is_first) changed_.NotifyOne();
  return id;
}

void TimerQueue::Remove(const Id& id) {
  std::function<void()> removed;  // destroyed after the lock: it may hold the last reference
  MutexLock lock(mutex_);
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  removed = std::move(found->second);
  calls_.erase(found);
}

void TimerQueue::Run() {
  NameThisThread("timer");
  while (true) {
    std::function<void()> due;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !due) {
        if (calls_.empty()) {
          changed_.Wait(mutex_);
          continue;
        }
        const auto first = calls_.begin();
        const absl::Duration wait = first->first.first - clock_.Now();
        if (wait > absl::ZeroDuration()) {
          changed_.WaitFor(mutex_, wait);
          continue;
        }
        due = std::move(first->second);
        calls_.erase(first);
      }
      if (stopping_) return;
    }
    due();
  }
}

}  // namespace cleave
