#include "engine/draft_planner.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

// Rounds of `drafted` drafts whose first `accepted` were right.
DraftAcceptance Acceptance(int rounds, int drafted, int accepted) {
  DraftAcceptance acceptance(100);
  for (int i = 0; i < rounds; ++i) acceptance.Observe(drafted, accepted);
  return acceptance;
}

TEST(DraftAcceptanceTest, JudgesThePlacesUpToTheFirstWrongDraft) {
  const DraftAcceptance acceptance = Acceptance(100, 4, 2);
  EXPECT_GT(acceptance.Rate(0, 0.5), 0.95);
  EXPECT_GT(acceptance.Rate(1, 0.5), 0.95);
  EXPECT_LT(acceptance.Rate(2, 0.5), 0.05);
  EXPECT_EQ(acceptance.Rate(3, 0.5), 0.5);  // never judged
}

TEST(DraftAcceptanceTest, NewerRoundsCountMore) {
  DraftAcceptance acceptance(5);
  for (int i = 0; i < 50; ++i) acceptance.Observe(1, 1);
  for (int i = 0; i < 15; ++i) acceptance.Observe(1, 0);
  EXPECT_LT(acceptance.Rate(0, 0.0), 0.1);
}

class DraftPlannerTest : public ::testing::Test {
 protected:
  // A pass of the target costs `target` and `row` more for each row, one of the drafter `draft`.
  static void Measure(DraftPlanner& planner, int64_t rows_max, double target, double row,
                      double draft) {
    for (int64_t rows = 1; rows <= rows_max; ++rows) {
      planner.MeasuredVerify(rows, target + row * static_cast<double>(rows));
      planner.MeasuredDraft(rows, draft);
    }
  }
  static std::vector<int> Plan(DraftPlanner& planner,
                               const std::vector<const DraftAcceptance*>& acceptances,
                               int room = kDraftsMax) {
    std::vector<DraftPlanner::Sequence> sequences;
    sequences.reserve(acceptances.size());
    for (const DraftAcceptance* acceptance : acceptances) {
      sequences.push_back({.acceptance = acceptance, .drafts_max = room});
    }
    planner.Plan(absl::MakeSpan(sequences));
    std::vector<int> drafts;
    drafts.reserve(sequences.size());
    for (const auto& sequence : sequences) drafts.push_back(sequence.drafts);
    return drafts;
  }
  const DraftAcceptance good_ = Acceptance(100, 8, 8), bad_ = Acceptance(100, 8, 0);
};

TEST_F(DraftPlannerTest, DraftsFarWhereDraftsAreRightAndRowsCheap) {
  DraftPlanner planner({.drafts_max = 6}, 64, 8);
  Measure(planner, 64, 1.0, 0.01, 0.05);
  EXPECT_EQ(Plan(planner, {&good_}), std::vector<int>{6});
}

TEST_F(DraftPlannerTest, DoesNotDraftWhereDraftsAreWrong) {
  DraftPlanner planner({.drafts_max = 6}, 64, 8);
  Measure(planner, 64, 1.0, 0.01, 0.05);
  EXPECT_EQ(Plan(planner, {&bad_}), std::vector<int>{0});
}

TEST_F(DraftPlannerTest, DoesNotDraftWhereRowsAreDear) {
  DraftPlanner planner({.drafts_max = 6}, 64, 8);
  Measure(planner, 64, 0.01, 1.0, 0.1);
  EXPECT_EQ(Plan(planner, {&good_}), std::vector<int>{0});
}

TEST_F(DraftPlannerTest, GivesRowsToTheSequencesThatUseThem) {
  DraftPlanner planner({.drafts_max = 4}, 64, 8);
  Measure(planner, 64, 1.0, 0.02, 0.02);
  EXPECT_EQ(Plan(planner, {&bad_, &good_, &bad_}), (std::vector<int>{0, 4, 0}));
}

TEST_F(DraftPlannerTest, KeepsToTheRowsOfAStepAndToEachSequencesRoom) {
  DraftPlanner planner({.drafts_max = 4, .adaptive = false}, 10, 8);
  const std::vector<int> drafts = Plan(planner, {&good_, &good_, &good_, &good_});
  EXPECT_EQ(std::accumulate(drafts.begin(), drafts.end(), 0), 6);
  EXPECT_EQ(Plan(planner, {&good_}, 2), std::vector<int>{2});
}

TEST_F(DraftPlannerTest, TriesAgainNowAndThen) {
  DraftPlanner planner({.drafts_max = 6}, 64, 8);
  Measure(planner, 64, 1.0, 0.01, 0.05);
  int tried = 0;
  for (int step = 0; step < 480; ++step) tried += Plan(planner, {&bad_})[0];
  EXPECT_EQ(tried, 10);
}

TEST_F(DraftPlannerTest, TriesASequenceAgainThoughAnotherDrafts) {
  for (const int64_t rows_max : {64, 8}) {  // room for all drafts, and for those of one sequence
    DraftPlanner planner({.drafts_max = 6}, rows_max, 8);
    Measure(planner, rows_max, 1.0, 0.01, 0.05);
    int tried = 0;
    for (int step = 0; step < 480; ++step) {
      const std::vector<int> drafts = Plan(planner, {&good_, &bad_});
      if (step % 48 == 23) continue;  // nobody drafts
      tried += drafts[1];
      EXPECT_GE(drafts[0], rows_max == 8 ? 5 : 6) << step;
      EXPECT_LE(2 + drafts[0] + drafts[1], rows_max) << step;
    }
    EXPECT_EQ(tried, 10) << rows_max;
  }
}

// What a step costs without drafts may have changed, too.
TEST_F(DraftPlannerTest, TriesWithoutDraftsNowAndThen) {
  DraftPlanner planner({.drafts_max = 6}, 64, 8);
  Measure(planner, 64, 1.0, 0.01, 0.05);
  int none = 0;
  for (int step = 0; step < 480; ++step) {
    none += Plan(planner, {&good_, &good_}) == std::vector<int>{0, 0} ? 1 : 0;
  }
  EXPECT_EQ(none, 10);
}

TEST_F(DraftPlannerTest, TriesNobodyWithoutRoom) {
  DraftPlanner planner({.drafts_max = 6}, 64, 8);
  Measure(planner, 64, 1.0, 0.01, 0.05);
  for (int step = 0; step < 100; ++step) {
    EXPECT_EQ(Plan(planner, {&bad_, &good_}, 0), (std::vector<int>{0, 0}));
  }
  DraftPlanner full({.drafts_max = 6}, 2, 2);
  for (int step = 0; step < 100; ++step) {
    EXPECT_EQ(Plan(full, {&bad_, &good_}), (std::vector<int>{0, 0}));
  }
}

TEST_F(DraftPlannerTest, ZeroDraftsMeansNone) {
  DraftPlanner planner({.drafts_max = 0}, 64, 8);
  Measure(planner, 64, 1.0, 0.01, 0.05);
  EXPECT_EQ(Plan(planner, {&good_, &good_}), (std::vector<int>{0, 0}));
}

// By brute force over all plans of few sequences: none has much less expected time per token.
TEST_F(DraftPlannerTest, WalkIsWithinAPassOfTheBestPlan) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    const int sequences = walk.Between(1, 3), drafts_max = walk.Between(1, 4);
    std::vector<DraftAcceptance> acceptances;
    std::vector<const DraftAcceptance*> pointers;
    pointers.reserve(static_cast<size_t>(sequences));
    for (int s = 0; s < sequences; ++s) {
      acceptances.emplace_back(50);
      for (int i = 0; i < 30; ++i)
        acceptances.back().Observe(drafts_max, walk.Between(0, drafts_max));
    }
    for (const DraftAcceptance& acceptance : acceptances) pointers.push_back(&acceptance);
    DraftPlanner planner({.drafts_max = drafts_max}, 20, 4);
    const double target = walk.Between(1, 100) * 0.01, row = walk.Between(0, 30) * 0.01,
                 draft = walk.Between(0, 30) * 0.01;
    Measure(planner, 20, target, row, draft);
    constexpr double kPrior = 0.7;  // nobody has shown anything
    const auto time_per_token = [&](const std::vector<int>& plan) {
      double tokens = 0, rows = 0;
      for (int s = 0; s < sequences; ++s) {
        double chance = 1;
        tokens += 1;
        rows += 1 + plan[size_t(s)];
        for (int place = 0; place < plan[size_t(s)]; ++place) {
          tokens += chance *= pointers[size_t(s)]->Rate(place, kPrior);
        }
      }
      return (target + row * rows + draft * *std::max_element(plan.begin(), plan.end())) / tokens;
    };
    const double chosen = time_per_token(Plan(planner, pointers));
    std::vector<int> plan(static_cast<size_t>(sequences), 0);
    while (true) {
      // Rows and passes of the drafter can be shared, so the best of plans that take the likeliest
      // drafts first is within one pass of the best of all.
      ASSERT_LE(chosen, time_per_token(plan) + draft / sequences + 1e-9);
      size_t digit = 0;
      while (digit < plan.size() && ++plan[digit] > drafts_max) plan[digit++] = 0;
      if (digit == plan.size()) break;
    }
  }
}

}  // namespace
}  // namespace cleave
