// Whose prompt is computed first.
#pragma once

#include "absl/time/time.h"
#include "runtime/base/priority.h"

namespace cleave {

// What a prompt's turn depends on.
struct PromptTurn {
  Priority priority = Priority::kNormal;
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time accepted;  // by this worker
};

// Whether `a` comes before `b`: those that have waited here for `patience` first, in order of
// arrival, so that nobody is passed over for ever; then by priority, and of equal ones the earliest
// deadline.
inline bool ComesBefore(const PromptTurn& a, const PromptTurn& b, absl::Time now,
                        absl::Duration patience) {
  const bool a_overdue = now - a.accepted >= patience;
  const bool b_overdue = now - b.accepted >= patience;
  if (a_overdue != b_overdue) return a_overdue;
  if (a_overdue) return a.accepted < b.accepted;
  if (a.priority != b.priority) return a.priority > b.priority;
  return a.deadline < b.deadline;
}

}  // namespace cleave
