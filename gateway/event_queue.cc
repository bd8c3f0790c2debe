#include "gateway/event_queue.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"

namespace cleave {

absl::Status EventQueue::Push(v1::GenerateEvent event) {
  if (event.has_text()) {
    if (steps_ >= steps_max_) {
      return MakeError(absl::StatusCode::kAborted,
                       absl::StrCat("the client reads too slowly: ", steps_, " steps wait for it"),
                       {.reason = Reason::kSlowReader,
                        .field = "",
                        .limit = absl::StrCat("at most ", steps_max_, " steps"),
                        .actual = absl::StrCat(steps_, " steps"),
                        .retry_after = std::nullopt});
    }
    ++steps_;
    if (events_.size() >= events_max_ && events_.back().event.has_text() &&
        events_.back().event.candidate() == event.candidate()) {
      v1::TextDelta& last = *events_.back().event.mutable_text();
      last.mutable_text()->append(event.text().text());
      last.set_tokens(last.tokens() + event.text().tokens());
      ++events_.back().steps;
      return absl::OkStatus();
    }
  }
  const int steps = event.has_text() ? 1 : 0;
  events_.push_back({std::move(event), steps});
  return absl::OkStatus();
}

std::optional<v1::GenerateEvent> EventQueue::Pop() {
  if (events_.empty()) return std::nullopt;
  Waiting first = std::move(events_.front());
  events_.pop_front();
  steps_ -= first.steps;
  first.event.set_index(next_index_++);
  return std::move(first.event);
}

void EventQueue::Clear() {
  events_.clear();
  steps_ = 0;
}

}  // namespace cleave
