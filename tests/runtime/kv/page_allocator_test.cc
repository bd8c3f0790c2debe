#include "runtime/kv/page_allocator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

TEST(PageAllocatorTest, GivesOldestFreedPageFirst) {
  PageAllocator pool(3);
  std::vector<PageId> pages(3);
  ASSERT_TRUE(pool.Allocate(absl::MakeSpan(pages)).ok());
  EXPECT_EQ(pages, (std::vector<PageId>{PageId{0}, PageId{1}, PageId{2}}));
  pool.Release(PageId{2});
  pool.Release(PageId{0});
  EXPECT_EQ(pool.Allocate().value(), PageId{2});
  EXPECT_EQ(pool.Allocate().value(), PageId{0});
  EXPECT_EQ(pool.generation(PageId{0}), 2u);
  EXPECT_EQ(pool.generation(PageId{1}), 1u);
  pool.Release(pages);
}

TEST(PageAllocatorTest, RequestLargerThanTheRestChangesNothing) {
  PageAllocator pool(4);
  const PageId first = pool.Allocate().value();
  std::vector<PageId> pages(4, PageId{77});
  const absl::Status status = pool.Allocate(absl::MakeSpan(pages));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(status), Reason::kKvCacheFull);
  EXPECT_EQ(pages, std::vector<PageId>(4, PageId{77}));
  EXPECT_EQ(pool.num_free(), 3);
  EXPECT_EQ(pool.generation(PageId{1}), 0u);
  pool.Release(first);
}

TEST(PageAllocatorTest, EmptyPoolAndEmptyRequest) {
  PageAllocator pool(0);
  EXPECT_EQ(GetReason(pool.Allocate().status()), Reason::kKvCacheFull);
  EXPECT_TRUE(pool.Allocate(absl::Span<PageId>()).ok());
}

TEST(PageAllocatorTest, PageIsFreeWhenNeitherOwnedNorPinned) {
  std::vector<PageId> freed;
  PageAllocator pool(1, [&](PageId page) { freed.push_back(page); });
  const PageId page = pool.Allocate().value();
  pool.AddOwner(page);
  pool.Pin(page);
  pool.Release(page);
  EXPECT_EQ(pool.num_live(), 1);
  pool.Release(page);
  EXPECT_EQ(pool.num_live(), 0);
  EXPECT_EQ(pool.num_quarantined(), 1);
  EXPECT_FALSE(pool.Allocate().ok());
  EXPECT_TRUE(freed.empty());
  pool.Unpin(page);
  EXPECT_EQ(pool.num_quarantined(), 0);
  EXPECT_EQ(freed, std::vector<PageId>{page});
  pool.Release(pool.Allocate().value());
}

TEST(PageAllocatorDeathTest, MisuseEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        PageAllocator pool(2);
        const PageId page = pool.Allocate().value();
        pool.Release(page);
        pool.Release(page);
      },
      "owners > 0");
  EXPECT_DEATH({ PageAllocator(2).Pin(PageId{0}); }, "owners > 0");
  EXPECT_DEATH({ PageAllocator(2).Unpin(PageId{0}); }, "pins > 0");
  EXPECT_DEATH({ PageAllocator(2).Release(PageId{2}); }, "index");
  EXPECT_DEATH({ PageAllocator(2).Release(PageId{-1}); }, "index");
  EXPECT_DEATH({ PageAllocator(2).Allocate().IgnoreError(); }, "num_free_ == num_pages");
}

// The same pool, written to be believed.
struct PoolModel {
  std::deque<PageId> free;           // oldest first
  std::multiset<PageId> owners;      // one entry for each owner
  std::multiset<PageId> pins;        // one entry for each pin
  std::map<PageId, uint32_t> lives;  // how often given out

  std::optional<PageId> Take() {
    if (free.empty()) return std::nullopt;
    const PageId page = free.front();
    free.pop_front();
    owners.insert(page);
    ++lives[page];
    return page;
  }
  void RemoveOne(std::multiset<PageId>& holders, PageId page) {
    holders.erase(holders.find(page));
    if (!owners.contains(page) && !pins.contains(page)) free.push_back(page);
  }
  int num_live() const { return static_cast<int>(std::set(owners.begin(), owners.end()).size()); }
};

PageId AnyOf(const std::multiset<PageId>& holders, RandomWalk& walk) {
  return *std::next(holders.begin(), walk.Below(static_cast<int>(holders.size())));
}

void WalkPool(uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  RandomWalk walk(seed);
  const int num_pages = walk.Between(1, 12);
  PoolModel model;
  for (int i = 0; i < num_pages; ++i) model.free.push_back(PageId{i});
  std::vector<PageId> freed;
  PageAllocator pool(num_pages, [&](PageId page) { freed.push_back(page); });
  size_t expected_freed = 0;
  for (int step = 0; step < 200; ++step) {
    const size_t free_before = model.free.size();
    size_t taken = 0;
    switch (walk.Below(6)) {
      case 0: {
        std::vector<PageId> pages(static_cast<size_t>(walk.Between(0, 4)));
        const bool fits = pages.size() <= model.free.size();
        ASSERT_EQ(pool.Allocate(absl::MakeSpan(pages)).ok(), fits);
        if (!fits) break;
        for (const PageId page : pages) ASSERT_EQ(model.Take(), page);
        taken = pages.size();
        break;
      }
      case 1:
        if (model.owners.empty()) break;
        pool.AddOwner(*model.owners.insert(AnyOf(model.owners, walk)));
        break;
      case 2:
        if (model.owners.empty()) break;
        pool.Pin(*model.pins.insert(AnyOf(model.owners, walk)));
        break;
      case 3:
        if (model.pins.empty()) break;
        {
          const PageId page = AnyOf(model.pins, walk);
          model.RemoveOne(model.pins, page);
          pool.Unpin(page);
        }
        break;
      default:
        if (model.owners.empty()) break;
        const PageId page = AnyOf(model.owners, walk);
        model.RemoveOne(model.owners, page);
        pool.Release(page);
    }
    expected_freed += model.free.size() + taken - free_before;
    ASSERT_EQ(freed.size(), expected_freed);
    ASSERT_EQ(pool.num_free(), static_cast<int>(model.free.size()));
    ASSERT_EQ(pool.num_live(), model.num_live());
    ASSERT_EQ(pool.num_free() + pool.num_live() + pool.num_quarantined(), num_pages);
    for (int i = 0; i < num_pages; ++i) {
      ASSERT_EQ(pool.owners(PageId{i}), static_cast<int>(model.owners.count(PageId{i})));
      ASSERT_EQ(pool.pins(PageId{i}), static_cast<int>(model.pins.count(PageId{i})));
      ASSERT_EQ(pool.generation(PageId{i}), model.lives[PageId{i}]);
    }
  }
  for (const PageId page : model.owners) pool.Release(page);
  for (const PageId page : model.pins) pool.Unpin(page);
}

TEST(PageAllocatorTest, RandomWalkAgreesWithModel) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 2000; ++seed) {
    WalkPool(seed);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace cleave
