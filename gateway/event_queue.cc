#include "gateway/event_queue.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

template <typename Delta>
bool Append(const Delta& more, Delta& last) {
  last.mutable_text()->append(more.text());
  last.set_tokens(last.tokens() + more.tokens());
  return true;
}

// Adds a delta to one of the same kind and candidate; false for any other pair.
bool Merge(const v1::GenerateEvent& event, v1::GenerateEvent& last) {
  if (event.candidate() != last.candidate() || event.event_case() != last.event_case())
    return false;
  if (event.has_text()) return Append(event.text(), *last.mutable_text());
  if (event.has_thought()) return Append(event.thought(), *last.mutable_thought());
  if (!event.has_log_probabilities()) return false;
  last.mutable_log_probabilities()->MergeFrom(event.log_probabilities());
  return true;
}

}  // namespace

absl::Status EventQueue::Push(v1::GenerateEvent event) {
  const bool is_step = event.has_text() || event.has_thought();
  if (is_step && steps_ >= steps_max_) {
    return MakeError(absl::StatusCode::kAborted,
                     absl::StrCat("the client reads too slowly: ", steps_, " steps wait for it"),
                     {.reason = Reason::kSlowReader,
                      .field = "",
                      .limit = absl::StrCat("at most ", steps_max_, " steps"),
                      .actual = absl::StrCat(steps_, " steps"),
                      .retry_after = std::nullopt});
  }
  if (is_step) ++steps_;
  if (events_.size() >= events_max_) {
    for (auto waiting = events_.rbegin(); waiting != events_.rend(); ++waiting) {
      if (Merge(event, waiting->event)) {
        waiting->steps += is_step ? 1 : 0;
        return absl::OkStatus();
      }
      // Log-probabilities may come earlier than what shows their tokens; of one candidate nothing
      // else may come earlier than another event.
      if (!event.has_log_probabilities() && event.candidate() == waiting->event.candidate()) break;
    }
  }
  events_.push_back({std::move(event), is_step ? 1 : 0});
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
