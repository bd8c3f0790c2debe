#include "engine/step_cost.h"

#include <gtest/gtest.h>

#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

TEST(StepCostTest, KnowsNothingAtFirst) {
  const StepCost cost(8);
  for (int rows = 0; rows <= 8; ++rows) EXPECT_EQ(cost.Seconds(rows), 0);
}

TEST(StepCostTest, FillsGapsKindly) {
  StepCost cost(16);
  cost.Measured(4, 0.8);
  cost.Measured(8, 1.2);
  EXPECT_EQ(cost.Seconds(0), 0);
  EXPECT_DOUBLE_EQ(cost.Seconds(1), 0.2);  // in proportion
  EXPECT_DOUBLE_EQ(cost.Seconds(4), 0.8);
  EXPECT_DOUBLE_EQ(cost.Seconds(6), 1.0);  // between
  EXPECT_DOUBLE_EQ(cost.Seconds(8), 1.2);
  EXPECT_DOUBLE_EQ(cost.Seconds(16), 1.2);  // as cheap as the largest known
}

TEST(StepCostTest, OneHiccupDoesNotMakeFewRowsDearerThanMany) {
  StepCost cost(8);
  for (int i = 0; i < 10; ++i) cost.Measured(5, 1.0);
  cost.Measured(2, 9.0);  // the machine did something else
  EXPECT_LE(cost.Seconds(2), cost.Seconds(5));
  EXPECT_LT(cost.Seconds(5), 2.0);
}

// The first step finds cold caches, others are interrupted.
TEST(StepCostTest, KnowsWhatAStepCostsWithoutHiccups) {
  StepCost cost(4);
  cost.Measured(2, 9.0);
  for (int i = 0; i < 12; ++i) cost.Measured(2, 1.0);
  EXPECT_NEAR(cost.Seconds(2), 1.0, 0.3);
  for (int i = 0; i < 100; ++i) cost.Measured(2, i % 10 == 9 ? 20.0 : 1.0);
  EXPECT_LT(cost.Seconds(2), 1.1);
}

TEST(StepCostTest, FollowsAMachineThatGetsSlower) {
  StepCost cost(4);
  for (int i = 0; i < 100; ++i) cost.Measured(3, 1.0);
  for (int i = 0; i < 100; ++i) cost.Measured(3, 2.0);
  EXPECT_NEAR(cost.Seconds(3), 2.0, 0.01);
}

TEST(StepCostTest, WhatIsNeverMeasuredAgainIsForgotten) {
  StepCost cost(8);
  cost.Measured(4, 1.0);
  cost.Measured(8, 50.0);
  for (int i = 0; i < 3000; ++i) cost.Measured(4, 1.0);
  EXPECT_DOUBLE_EQ(cost.Seconds(8), 1.0);
}

// Random measurements: the curve is never negative and never falls.
TEST(StepCostTest, WalkNeverFalls) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 50; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    const int rows_max = walk.Between(1, 40);
    StepCost cost(rows_max);
    for (int i = 0; i < 200; ++i) {
      const int rows = walk.Between(1, rows_max + 3);
      cost.Measured(rows, walk.Between(1, 1000) * (walk.OneIn(20) ? 1e-2 : 1e-4));
      for (int r = 1; r <= rows_max; ++r) {
        ASSERT_GE(cost.Seconds(r), cost.Seconds(r - 1)) << r;
      }
      ASSERT_EQ(cost.Seconds(rows_max + 5), cost.Seconds(rows_max));
    }
  }
}

}  // namespace
}  // namespace cleave
