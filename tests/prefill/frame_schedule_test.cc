#include "prefill/frame_schedule.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace cleave {
namespace {

KvShape Shape(int page_tokens, int window) {
  return {.page_tokens = page_tokens,
          .window = window,
          .full_layers = 1,
          .sliding_layers = 1,
          .full_page_bytes = 10,
          .sliding_page_bytes = 30};
}

TEST(FrameScheduleTest, SendsAFullPageWithTheChunkThatFillsIt) {
  const KvShape shape = Shape(8, 16);
  const TransferPlan plan = MakeTransferPlan(shape, 30);
  const auto finished = [&](int64_t before, int64_t after) {
    return FinishedPages(shape, plan, {before, after, 30}, PoolKind::kFull, 0);
  };
  EXPECT_EQ(finished(0, 7).page_count, 0);
  EXPECT_EQ(finished(7, 17).first_page, 0);
  EXPECT_EQ(finished(7, 17).page_count, 2);
  EXPECT_EQ(finished(17, 30).first_page, 2);
  EXPECT_EQ(finished(17, 30).page_count, 2);  // the last one partly used
}

TEST(FrameScheduleTest, SendsOfSlidingLayersTheFinalWindowOnly) {
  const KvShape shape = Shape(8, 16);
  const TransferPlan plan = MakeTransferPlan(shape, 64);
  // Positions 49 to 63 are seen later: pages 6 and 7.
  ASSERT_EQ(plan.first_sliding_page, 6);
  ASSERT_EQ(plan.sliding_pages, 2);
  const auto finished = [&](int64_t before, int64_t after) {
    return FinishedPages(shape, plan, {before, after, 64}, PoolKind::kSliding, 0);
  };
  EXPECT_EQ(finished(0, 48).page_count, 0);
  EXPECT_EQ(finished(0, 64).first_page, 6);
  EXPECT_EQ(finished(0, 64).page_count, 2);
  EXPECT_EQ(finished(48, 56).page_count, 1);
}

// Whatever the chunks, every page of the plan leaves exactly once, and the bytes are those of the
// formula: all pages of the full layers, the pages of the last window - 1 positions of the others.
TEST(FrameScheduleTest, AnyChunksCoverThePlanOnce) {
  constexpr uint64_t kSeed = 17;
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    const int page = 8 << random() % 3;
    const int window = 2 + static_cast<int>(random() % 40);
    const int64_t positions = 1 + static_cast<int64_t>(random() % 150);
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " round " << round << " page " << page
                                    << " window " << window << " positions " << positions);
    const KvShape shape = Shape(page, window);
    const TransferPlan plan = MakeTransferPlan(shape, positions);
    std::set<int64_t> full, sliding;
    int64_t bytes = 0;
    for (int64_t begin = 0; begin < positions;) {
      const int64_t end =
          std::min<int64_t>(positions, begin + 1 + static_cast<int64_t>(random() % 40));
      for (const PoolKind pool : {PoolKind::kFull, PoolKind::kSliding}) {
        const FrameSlice slice = FinishedPages(shape, plan, {begin, end, positions}, pool, 0);
        for (int64_t i = 0; i < slice.page_count; ++i) {
          auto& sent = pool == PoolKind::kFull ? full : sliding;
          ASSERT_TRUE(sent.insert(slice.first_page + i).second);
        }
        bytes += slice.page_count * shape.page_bytes(pool);
      }
      begin = end;
    }
    const int64_t pages = (positions + page - 1) / page;
    const int64_t oldest = std::max<int64_t>(0, positions - (window - 1)) / page;
    EXPECT_EQ(static_cast<int64_t>(full.size()), pages);
    EXPECT_EQ(static_cast<int64_t>(sliding.size()), pages - oldest);
    EXPECT_EQ(bytes, pages * 10 + (pages - oldest) * 30);
    EXPECT_EQ(bytes, plan.total_bytes);
  }
}

}  // namespace
}  // namespace cleave
