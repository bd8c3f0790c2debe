#include "prefill/prompt_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

absl::Time At(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

bool Before(const PromptTurn& a, const PromptTurn& b, double now = 10) {
  return ComesBefore(a, b, At(now), kPatience);
}

TEST(PromptOrderTest, TheEarliestDeadlineOfAPriority) {
  EXPECT_TRUE(Before({.deadline = At(20), .accepted = At(5)}, {.deadline = At(21)}));
  EXPECT_FALSE(Before({.deadline = At(21)}, {.deadline = At(20), .accepted = At(5)}));
  EXPECT_FALSE(Before({.deadline = At(20)}, {.deadline = At(20)}));
}

TEST(PromptOrderTest, PriorityBeforeDeadline) {
  const PromptTurn high{.priority = Priority::kHigh, .deadline = At(90)};
  const PromptTurn normal{.deadline = At(20)};
  const PromptTurn low{.priority = Priority::kLow, .deadline = At(11)};
  EXPECT_TRUE(Before(high, normal) && Before(normal, low) && Before(high, low));
  EXPECT_FALSE(Before(normal, high) || Before(low, normal) || Before(low, high));
}

TEST(PromptOrderTest, WhoHasWaitedLongComesFirst) {
  const PromptTurn old_low{.priority = Priority::kLow, .accepted = At(1)};
  const PromptTurn older{.deadline = At(99), .accepted = At(0)};
  const PromptTurn high{.priority = Priority::kHigh, .deadline = At(33), .accepted = At(20)};
  EXPECT_TRUE(Before(high, old_low, 30.5));
  EXPECT_TRUE(Before(old_low, high, 31));
  EXPECT_TRUE(Before(older, old_low, 31));
}

// One prompt of a second at a time, and more of them than one can compute: no wait is longer than
// the patience and what was there before.
TEST(PromptOrderTest, WalkNobodyWaitsForEver) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 20; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    std::vector<PromptTurn> queue = {{.priority = Priority::kLow, .deadline = At(1e6)}};
    size_t ahead_at_most = queue.size();
    for (int second = 0;; ++second) {
      if (second < 30) ahead_at_most += 2;
      for (int i = 0; i < 2; ++i) {
        queue.push_back({.priority = static_cast<Priority>(walk.Below(3)),
                         .deadline = At(second + walk.Between(1, 60)),
                         .accepted = At(second + 0.5 + 0.1 * i)});
      }
      const auto next = std::min_element(
          queue.begin(), queue.end(),
          [&](const auto& a, const auto& b) { return ComesBefore(a, b, At(second), kPatience); });
      const PromptTurn turn = *next;
      queue.erase(next);
      if (turn.deadline == At(1e6)) break;
      ASSERT_LT(second, 30 + static_cast<int>(ahead_at_most));
    }
  }
}

}  // namespace
}  // namespace cleave
