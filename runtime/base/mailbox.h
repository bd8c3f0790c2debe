// How other threads speak to the one thread that owns an engine's state.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "runtime/base/mutex.h"

namespace cleave {

// A queue: any thread pushes, one thread takes everything there is at once, between two steps. So
// the lock is held for a swap of two vectors, never during a step. Push keeps to a bound; what
// comes by PushAlways is bounded by its senders.
template <typename Item>
class Mailbox {
 public:
  explicit Mailbox(size_t capacity) : capacity_(capacity) { items_.reserve(capacity); }

  // False when full or closed; then the item is unchanged and nothing was queued.
  bool Push(Item&& item) {
    {
      MutexLock lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    not_empty_.NotifyOne();
    return true;
  }

  // For messages that must not be lost (an end, a cancel, a page release): ignores the capacity, so
  // its senders must be bounded by something else. False only when closed.
  bool PushAlways(Item&& item) {
    {
      MutexLock lock(mutex_);
      if (closed_) return false;
      items_.push_back(std::move(item));
    }
    not_empty_.NotifyOne();
    return true;
  }

  // Replaces the content of `out` with what was queued, oldest first. Waits up to `timeout` for the
  // first item; returns empty-handed when the time is up, on Wake and after Close.
  void TakeAll(std::vector<Item>& out, absl::Duration timeout) {
    out.clear();
    MutexLock lock(mutex_);
    if (items_.empty() && !closed_ && !woken_ && timeout > absl::ZeroDuration()) {
      not_empty_.WaitFor(mutex_, timeout);
    }
    woken_ = false;
    std::swap(out, items_);
  }

  bool empty() const {
    MutexLock lock(mutex_);
    return items_.empty();
  }

  // Ends a waiting TakeAll (or the next one) early.
  void Wake() {
    {
      MutexLock lock(mutex_);
      woken_ = true;
    }
    not_empty_.NotifyOne();
  }

  // No item is taken from here on; those queued can still be received.
  void Close() {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    not_empty_.NotifyAll();
  }

  bool closed() const {
    MutexLock lock(mutex_);
    return closed_;
  }

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar not_empty_;
  std::vector<Item> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace cleave
