#include "runtime/link/transfer_plan.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/runtime/link/link_fakes.h"

namespace cleave {
namespace {

// The 12B model in bf16: 40 sliding layers (a page is 20 MiB), 8 full ones (640 KiB).
constexpr KvShape kRealShape = {.page_tokens = 64,
                                .window = 1024,
                                .full_layers = 8,
                                .sliding_layers = 40,
                                .full_page_bytes = 80 << 10,
                                .sliding_page_bytes = 512 << 10};

TEST(TransferPlanTest, CoversThePositionsThatTheNextRowReads) {
  for (const int window : {1, 2, 9, 64}) {
    KvShape shape = kSmallShape;
    shape.window = window;
    for (int n = 1; n <= 90; ++n) {
      std::set<int64_t> full, sliding;
      for (int position = 0; position < n; ++position) {
        full.insert(position / shape.page_tokens);
        if (position >= n - (window - 1)) sliding.insert(position / shape.page_tokens);
      }
      const TransferPlan plan = MakeTransferPlan(shape, n);
      EXPECT_EQ(plan.full_pages, static_cast<int64_t>(full.size()));
      EXPECT_EQ(plan.sliding_pages, static_cast<int64_t>(sliding.size())) << window << " " << n;
      if (!sliding.empty()) {
        EXPECT_EQ(plan.first_sliding_page, *sliding.begin());
      }
    }
  }
}

TEST(TransferPlanTest, OfTheRealModel) {
  const TransferPlan plan = MakeTransferPlan(kRealShape, 1024);
  EXPECT_EQ(plan.full_pages, 16);
  EXPECT_EQ(plan.first_sliding_page, 0);  // positions 1 to 1023
  EXPECT_EQ(plan.sliding_pages, 16);
  EXPECT_EQ(plan.total_bytes, 16 * (int64_t{640} << 10) + 16 * (int64_t{20} << 20));
  EXPECT_EQ(MakeTransferPlan(kRealShape, 128 << 10).sliding_pages, 16);
  EXPECT_EQ(MakeTransferPlan(kRealShape, (128 << 10) + 1).sliding_pages, 17);
}

TEST(FrameCoverageTest, CompleteWhenEveryPageOfEveryLayerHasCome) {
  const TransferPlan plan = MakeTransferPlan(kSmallShape, 16);
  FrameCoverage coverage(kSmallShape, plan);
  const auto add = [&](PoolKind pool, int64_t layer, int64_t first, int64_t count) {
    return coverage.Add(
        {Id(1), 0, pool, layer, first, count, count * kSmallShape.page_bytes(pool)});
  };
  EXPECT_TRUE(add(PoolKind::kFull, 0, 1, 3).ok());
  EXPECT_TRUE(add(PoolKind::kSliding, 1, 2, 2).ok());
  EXPECT_TRUE(add(PoolKind::kSliding, 0, 3, 1).ok());
  EXPECT_EQ(GetReason(add(PoolKind::kFull, 0, 0, 2)), Reason::kKvTransferCorrupt);
  EXPECT_TRUE(add(PoolKind::kFull, 0, 0, 1).ok()) << "a refused frame has marked nothing";
  EXPECT_FALSE(coverage.complete());
  EXPECT_TRUE(add(PoolKind::kSliding, 0, 2, 1).ok());
  EXPECT_TRUE(coverage.complete());
}

TEST(FrameChecksumTest, DependsOnPlaceOrderAndBytes) {
  const FrameHeader a{Id(1), 0, PoolKind::kFull, 0, 0, 1, 1};
  FrameHeader b = a;
  b.first_page = 1;
  const auto sum = [](const std::vector<std::pair<FrameHeader, std::string>>& frames) {
    FrameChecksum checksum;
    for (const auto& [header, bytes] : frames) {
      checksum.AddHeader(header);
      checksum.AddBytes({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    }
    return checksum.value();
  };
  const std::set<uint64_t> sums = {sum({{a, "x"}, {b, "y"}}), sum({{b, "x"}, {a, "y"}}),
                                   sum({{a, "y"}, {b, "x"}}), sum({{b, "y"}, {a, "x"}}),
                                   sum({{a, "x"}})};
  EXPECT_EQ(sums.size(), 5u);
  EXPECT_EQ(sum({{a, "x"}}), sum({{a, "x"}}));
}

}  // namespace
}  // namespace cleave
