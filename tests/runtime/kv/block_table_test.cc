#include "runtime/kv/block_table.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

class BlockTableTest : public testing::Test {
 protected:
  PageAllocator full_{10};
  PageAllocator sliding_{6};
  KvPools pools_{full_, sliding_, 4};
};

TEST(SlidingPagesMaxTest, AgreesWithEveryAlignment) {
  for (const int page_tokens : {1, 8, 64}) {
    for (const int window : {1, 2, 17, 1024}) {
      for (const int rows : {1, 2, 8, 63, 64, 65, 1120}) {
        int most = 0;
        for (int n = window - 1; n < window - 1 + page_tokens; ++n) {
          const int first = (n - (window - 1)) / page_tokens;
          const int last = (n + rows - 1) / page_tokens;
          most = std::max(most, last - first + 1);
        }
        EXPECT_EQ(SlidingPagesMax(window, rows, page_tokens), most)
            << window << " " << rows << " " << page_tokens;
      }
    }
  }
}

TEST(SlidingPagesMaxTest, OfTheRealModel) {
  EXPECT_EQ(SlidingPagesMax(1024, 8, 64), 18);     // decode, g = 7
  EXPECT_EQ(SlidingPagesMax(1024, 1120, 64), 35);  // prefill, the largest picture
}

TEST_F(BlockTableTest, GrowsByWholePages) {
  BlockTable table(pools_);
  ASSERT_TRUE(table.Extend(1).ok());
  EXPECT_EQ(table.full().pages.size(), 1u);
  ASSERT_TRUE(table.Extend(3).ok());
  EXPECT_EQ(table.full().pages.size(), 1u);
  ASSERT_TRUE(table.Extend(1).ok());
  EXPECT_EQ(table.full().pages.size(), 2u);
  EXPECT_EQ(table.sliding().pages.size(), 2u);
  EXPECT_EQ(table.num_tokens(), 5);
}

TEST_F(BlockTableTest, FailedExtendChangesNeitherPool) {
  BlockTable table(pools_);
  ASSERT_TRUE(table.Extend(8).ok());
  const absl::Status no_sliding = table.Extend(20);  // 5 pages of each kind: sliding has 4
  EXPECT_EQ(GetReason(no_sliding), Reason::kKvCacheFull);
  EXPECT_EQ(full_.num_free(), 8);
  EXPECT_EQ(sliding_.num_free(), 4);
  table.DropBefore(1000);
  const absl::Status no_full = table.Extend(36);  // 9 full pages: there are 8
  EXPECT_EQ(GetReason(no_full), Reason::kKvCacheFull);
  EXPECT_EQ(table.num_tokens(), 8);
  EXPECT_EQ(full_.num_free(), 8);
  EXPECT_EQ(full_.generation(PageId{2}), 0u);
}

TEST_F(BlockTableTest, DropsOnlyPagesWhollyBeforeThePosition) {
  BlockTable table(pools_);
  ASSERT_TRUE(table.Extend(12).ok());
  table.DropBefore(7);
  EXPECT_EQ(table.sliding().first_position, 4);
  EXPECT_EQ(table.sliding().pages.size(), 2u);
  EXPECT_EQ(table.full().pages.size(), 3u);
  table.DropBefore(3);  // behind what was dropped already
  EXPECT_EQ(table.sliding().first_position, 4);
  EXPECT_EQ(sliding_.num_free(), 4);
}

TEST_F(BlockTableTest, RoomForPromptThatArrivesWithTheEndOfItsWindow) {
  BlockTable table(pools_);
  table.DropBefore(30);
  ASSERT_TRUE(table.Extend(34).ok());
  EXPECT_EQ(table.full().pages.size(), 9u);
  EXPECT_EQ(table.sliding().first_position, 28);
  EXPECT_EQ(table.sliding().pages.size(), 2u);
}

TEST_F(BlockTableTest, TruncateReleasesPagesOfRejectedDrafts) {
  BlockTable table(pools_);
  ASSERT_TRUE(table.Extend(9).ok());
  table.DropBefore(5);
  table.Truncate(8);
  EXPECT_EQ(table.full().pages.size(), 2u);
  EXPECT_EQ(table.sliding().pages.size(), 1u);
  table.Truncate(5);
  EXPECT_EQ(table.full().pages.size(), 2u);
  EXPECT_DEATH(table.Truncate(4), "num_tokens");
}

TEST_F(BlockTableTest, SharedPrefixCopiesThePartlyUsedPage) {
  BlockTable prompt(pools_);
  ASSERT_TRUE(prompt.Extend(10).ok());
  prompt.DropBefore(5);
  BlockTable candidate(pools_);
  const auto copies = candidate.Share(prompt.full(), prompt.sliding(), 10);
  ASSERT_TRUE(copies.ok());
  ASSERT_TRUE(copies->full && copies->sliding);
  EXPECT_EQ(copies->full->from, prompt.full().pages[2]);
  EXPECT_EQ(copies->full->to, candidate.full().pages[2]);
  EXPECT_EQ(copies->full->rows, 2);
  EXPECT_EQ(copies->sliding->from, prompt.sliding().pages[1]);
  EXPECT_EQ(candidate.full().pages[0], prompt.full().pages[0]);
  EXPECT_EQ(candidate.sliding().pages[0], prompt.sliding().pages[0]);
  EXPECT_EQ(candidate.sliding().first_position, 4);
  EXPECT_EQ(full_.owners(prompt.full().pages[0]), 2);
  EXPECT_EQ(full_.num_live(), 4);
  prompt.Release();
  EXPECT_EQ(full_.num_live(), 3);
}

TEST_F(BlockTableTest, SharedWholePagesNeedNoCopyAndNoPage) {
  BlockTable cached(pools_);
  ASSERT_TRUE(cached.Extend(8).ok());
  BlockTable rest(pools_);
  ASSERT_TRUE(rest.Extend(16).ok());  // sliding pool: all 6 pages in use
  BlockTable hit(pools_);
  const auto copies = hit.Share(cached.full(), cached.sliding(), 8);
  ASSERT_TRUE(copies.ok());
  EXPECT_FALSE(copies->full || copies->sliding);
  BlockTable second(pools_);
  const auto refused = second.Share(cached.full(), cached.sliding(), 7);
  EXPECT_EQ(GetReason(refused.status()), Reason::kKvCacheFull);
  EXPECT_EQ(second.num_tokens(), 0);
  EXPECT_EQ(full_.owners(cached.full().pages[0]), 2);
  EXPECT_EQ(full_.num_free(), 4);
}

TEST_F(BlockTableTest, MoveLeavesAnEmptyTable) {
  BlockTable table(pools_);
  ASSERT_TRUE(table.Extend(5).ok());
  BlockTable moved(std::move(table));
  EXPECT_EQ(table.num_tokens(), 0);  // NOLINT: the point of this test
  EXPECT_EQ(full_.num_live(), 2);
  BlockTable assigned(pools_);
  ASSERT_TRUE(assigned.Extend(1).ok());
  assigned = std::move(moved);
  EXPECT_EQ(full_.num_live(), 2);
  EXPECT_EQ(assigned.num_tokens(), 5);
}

// What a table holds, position by position: the page ordinals that each kind must have.
struct TableModel {
  int64_t num_tokens = 0;
  int64_t dropped_before = 0;

  std::set<int64_t> FullOrdinals(int page_tokens) const {
    std::set<int64_t> ordinals;
    for (int64_t p = 0; p < num_tokens; ++p) ordinals.insert(p / page_tokens);
    return ordinals;
  }
  std::set<int64_t> SlidingOrdinals(int page_tokens) const {
    std::set<int64_t> ordinals;
    const int64_t first = dropped_before / page_tokens * page_tokens;
    for (int64_t p = first; p < num_tokens; ++p) ordinals.insert(p / page_tokens);
    return ordinals;
  }
};

// Tables over two small pools, each beside its model; some share the prefix of another.
class TableWalk {
 public:
  explicit TableWalk(uint64_t seed) : walk_(seed) {}

  void Step() {
    if (tables_.empty() || walk_.OneIn(10)) return Add();
    auto& [table, model] = tables_[static_cast<size_t>(walk_.Below(num_tables()))];
    switch (walk_.Below(6)) {
      case 0:
        return Share(table, model);
      case 1: {
        const int64_t position = walk_.Between(0, static_cast<int>(model.num_tokens) + 4);
        table.DropBefore(position);
        model.dropped_before = std::max(model.dropped_before, position);
        return;
      }
      case 2: {
        const int64_t lowest = std::min(model.dropped_before, model.num_tokens);
        model.num_tokens =
            walk_.Between(static_cast<int>(lowest), static_cast<int>(model.num_tokens));
        return table.Truncate(model.num_tokens);
      }
      case 3:
        std::swap(tables_.front(), tables_[static_cast<size_t>(walk_.Below(num_tables()))]);
        return tables_.pop_back();
      default:
        return Extend(table, model);
    }
  }

  void Check() {
    std::map<PageId, int> full_owners, sliding_owners;
    for (const auto& [table, model] : tables_) {
      ASSERT_EQ(table.num_tokens(), model.num_tokens);
      CheckRun(table.full(), model.FullOrdinals(kPageTokens), full_owners);
      CheckRun(table.sliding(), model.SlidingOrdinals(kPageTokens), sliding_owners);
    }
    CheckPool(full_, full_owners);
    CheckPool(sliding_, sliding_owners);
  }

 private:
  static constexpr int kPageTokens = 4;
  int num_tables() const { return static_cast<int>(tables_.size()); }

  void Add() {
    if (num_tables() < 6) tables_.emplace_back(BlockTable(pools_), TableModel());
  }

  void Extend(BlockTable& table, TableModel& model) {
    TableModel longer = model;
    longer.num_tokens += walk_.Between(0, 9);
    const auto fits = [&](const PageAllocator& pool, const auto& now, const auto& then) {
      return then.size() - now.size() <= static_cast<size_t>(pool.num_free());
    };
    const bool ok =
        fits(full_, model.FullOrdinals(kPageTokens), longer.FullOrdinals(kPageTokens)) &&
        fits(sliding_, model.SlidingOrdinals(kPageTokens), longer.SlidingOrdinals(kPageTokens));
    ASSERT_EQ(table.Extend(longer.num_tokens - model.num_tokens).ok(), ok);
    if (ok) model = longer;
  }

  void Share(const BlockTable& table, const TableModel& model) {
    if (num_tables() >= 6) return;
    const int64_t first = table.sliding().first_position;
    const int64_t tokens = walk_.Between(static_cast<int>(std::min(first, model.num_tokens)),
                                         static_cast<int>(model.num_tokens));
    const bool partly = tokens % kPageTokens != 0;
    const bool partly_sliding = partly && tokens > first;
    const bool ok =
        (!partly || full_.num_free() > 0) && (!partly_sliding || sliding_.num_free() > 0);
    BlockTable sharer(pools_);
    const auto copies = sharer.Share(table.full(), table.sliding(), tokens);
    ASSERT_EQ(copies.ok(), ok);
    if (!ok) return;
    ASSERT_EQ(copies->full.has_value(), partly);
    ASSERT_EQ(copies->sliding.has_value(), partly_sliding);
    tables_.emplace_back(std::move(sharer), TableModel{tokens, first});
  }

  static void CheckRun(const PageRun& run, const std::set<int64_t>& ordinals,
                       std::map<PageId, int>& owners) {
    ASSERT_EQ(run.pages.size(), ordinals.size());
    ASSERT_EQ(run.first_position % kPageTokens, 0);
    if (!ordinals.empty()) {
      ASSERT_EQ(run.first_position / kPageTokens, *ordinals.begin());
    }
    for (const PageId page : run.pages) ++owners[page];
  }

  // Live pages = pages of tables, with as many owners as tables name them.
  static void CheckPool(const PageAllocator& pool, const std::map<PageId, int>& owners) {
    ASSERT_EQ(pool.num_live(), static_cast<int>(owners.size()));
    ASSERT_EQ(pool.num_quarantined(), 0);
    for (const auto& [page, count] : owners) ASSERT_EQ(pool.owners(page), count);
  }

  RandomWalk walk_;
  PageAllocator full_{walk_.Between(1, 30)};
  PageAllocator sliding_{walk_.Between(1, 20)};
  KvPools pools_{full_, sliding_, kPageTokens};
  std::vector<std::pair<BlockTable, TableModel>> tables_;
};

TEST(BlockTableWalkTest, RandomWalkAgreesWithModel) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    TableWalk walk(seed);
    for (int step = 0; step < 100; ++step) {
      walk.Step();
      walk.Check();
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace cleave
