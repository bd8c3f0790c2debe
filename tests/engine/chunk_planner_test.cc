#include "engine/chunk_planner.h"

#include <gtest/gtest.h>

namespace cleave {
namespace {

constexpr int64_t kRowsMax = 100;
constexpr double kRow = 1e-4;

// Steps of one sequence take a millisecond, and a row of a prompt a tenth of that.
class ChunkPlannerTest : public ::testing::Test {
 protected:
  ChunkPlannerTest() {
    planner_.MeasuredStep(1, 1e-3);
    planner_.MeasuredRows(50, 50 * kRow);
  }
  // A step of one sequence with as many rows as may be.
  int64_t Step(double row_seconds, double step_seconds) {
    const int64_t rows = planner_.Rows(1, step_seconds);
    planner_.MeasuredRows(rows, static_cast<double>(rows) * row_seconds);
    return rows;
  }
  ChunkPlanner planner_{kRowsMax, 4};
};

TEST_F(ChunkPlannerTest, RowsFitTheTimeThatAStepMayTake) {
  EXPECT_EQ(planner_.Rows(1, 5.05e-3), 40);
  EXPECT_EQ(planner_.Rows(1, 1), kRowsMax) << "the most there may be";
  EXPECT_EQ(planner_.Rows(0, 0), kRowsMax) << "nobody waits";
  planner_.MeasuredStep(3, 3e-3);
  EXPECT_EQ(planner_.Rows(3, 5.05e-3), 20);
}

TEST_F(ChunkPlannerTest, AStepThatIsTooLongAloneHasAQuarterForAPrompt) {
  planner_.MeasuredStep(3, 16.2e-3);
  EXPECT_EQ(planner_.Rows(3, 5e-3), 40);
  EXPECT_EQ(planner_.Rows(3, 0), 40);
  EXPECT_EQ(planner_.Rows(3, 22.25e-3), 60) << "more than a quarter";
}

TEST_F(ChunkPlannerTest, ThePromptGetsOnAllTheSame) {
  ChunkPlanner dear(kRowsMax, 4);
  dear.MeasuredStep(1, 1e-3);
  dear.MeasuredRows(8, 1);
  EXPECT_EQ(dear.Rows(1, 5e-3), 1);
}

TEST_F(ChunkPlannerTest, TakesFewRowsWhileNothingIsKnown) {
  EXPECT_EQ(ChunkPlanner(kRowsMax, 4).Rows(1, 5e-3), 16);
  EXPECT_EQ(ChunkPlanner(5, 4).Rows(1, 5e-3), 5);
}

TEST_F(ChunkPlannerTest, AHiccupIsForgotten) {
  planner_.MeasuredRows(50, 5);
  EXPECT_EQ(planner_.Rows(1, 5.05e-3), 1) << "fewer than tell what a row costs";
  int64_t rows = 0;
  for (int step = 0; step < 200; ++step) rows = Step(kRow, 5.05e-3);
  EXPECT_GE(rows, 39);
}

TEST_F(ChunkPlannerTest, LearnsThatRowsAreDear) {
  for (int step = 0; step < 20; ++step) Step(100 * kRow, 5e-3);
  int64_t rows = 0;
  for (int step = 0; step < 1600; ++step) rows += Step(100 * kRow, 5e-3);
  EXPECT_LE(rows, 1600 * 3 / 2) << "one, and now and then eight";
}

TEST_F(ChunkPlannerTest, NeverMoreThanThereMayBe) {
  ChunkPlanner small(3, 4);
  small.MeasuredStep(1, 1e-3);
  for (int step = 0; step < 100; ++step) {
    ASSERT_EQ(small.Rows(1, 5e-3), 3);
    small.MeasuredRows(3, 1);
  }
}

}  // namespace
}  // namespace cleave
