// Events of one answer on their way to a client that may read slowly.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "absl/status/status.h"
#include "cleave/v1/chat.pb.h"

namespace cleave {

// From `events_max` waiting ones on, text, thoughts and log-probabilities are added to the last one
// of their candidate where it is of the same kind. A client that is `steps_max` deltas of them
// behind is given up, which bounds the tool calls between them too. Not thread-safe.
class EventQueue {
 public:
  static constexpr size_t kEventsMax = 64;
  static constexpr int kStepsMax = 1024;

  explicit EventQueue(size_t events_max = kEventsMax, int steps_max = kStepsMax)
      : events_max_(events_max), steps_max_(steps_max) {}

  // ABORTED (SLOW_READER), and the event is dropped, when the client is too far behind.
  absl::Status Push(v1::GenerateEvent event);
  // The next event, with its index.
  std::optional<v1::GenerateEvent> Pop();
  void Clear();
  bool empty() const { return events_.empty(); }

 private:
  struct Waiting {
    v1::GenerateEvent event;
    int steps;
  };

  const size_t events_max_;
  const int steps_max_;
  std::deque<Waiting> events_;
  int steps_ = 0;
  uint64_t next_index_ = 0;
};

}  // namespace cleave
