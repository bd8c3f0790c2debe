#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <numeric>

#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

constexpr KvShape kShape{.page_tokens = 4,
                         .window = 7,
                         .full_layers = 1,
                         .sliding_layers = 2,
                         .full_page_bytes = 40,
                         .sliding_page_bytes = 60};

SequenceRequest Request(const std::vector<int32_t>& ids) {
  SequenceRequest request;
  request.prompt_ids = ids;
  return request;
}

std::vector<int32_t> Count(int32_t n) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

class PrefixCacheTest : public testing::Test {
 protected:
  // A prompt that has been computed whole, and kept at `boundaries`.
  void Compute(const SequenceRequest& request, const std::vector<int64_t>& boundaries) {
    BlockTable table(pools_);
    ASSERT_TRUE(table.Extend(request.num_positions()).ok());
    for (const int64_t boundary : boundaries) cache_.Keep(request, boundary, table);
  }
  int64_t Hit(const SequenceRequest& request) {
    const std::optional<PrefixCache::Prefix> prefix = cache_.Find(request);
    return prefix ? prefix->num_tokens : 0;
  }

  PageAllocator full_{20};
  PageAllocator sliding_{20};
  KvPools pools_{full_, sliding_, kShape.page_tokens};
  PrefixCache cache_{pools_, kShape, {}};
};

TEST_F(PrefixCacheTest, FindsTheLongestThatLeavesAPosition) {
  Compute(Request(Count(20)), {5, 8, 20});
  EXPECT_EQ(Hit(Request(Count(30))), 20);
  EXPECT_EQ(Hit(Request(Count(20))), 8) << "20 would leave nothing to compute";
  EXPECT_EQ(Hit(Request(Count(8))), 5);
  EXPECT_EQ(Hit(Request(Count(5))), 0);
  std::vector<int32_t> other = Count(30);
  other[6] = 77;
  EXPECT_EQ(Hit(Request(other)), 5);
}

TEST_F(PrefixCacheTest, EmittedTokensAreNoPrompt) {
  Compute(Request(Count(12)), {12});
  SequenceRequest replay = Request(Count(8));
  replay.emitted_ids = {8, 9, 10, 11, 12};
  EXPECT_EQ(Hit(replay), 0);
  replay.prompt_ids = Count(12);
  EXPECT_EQ(Hit(replay), 12) << "the last emitted token is still to be computed";
}

TEST_F(PrefixCacheTest, HoldsTheWindowAndAllFullPages) {
  Compute(Request(Count(30)), {18});
  const std::optional<PrefixCache::Prefix> prefix = cache_.Find(Request(Count(30)));
  ASSERT_TRUE(prefix);
  EXPECT_EQ(prefix->full.pages.size(), 5u);              // positions 0 to 17
  EXPECT_EQ(prefix->sliding.first_position, 12);         // 18 - 6, whole pages
  EXPECT_EQ(prefix->sliding.pages.size(), 2u);           // 12 to 17
  EXPECT_EQ(full_.num_live() + sliding_.num_live(), 7);  // the rest has gone
  EXPECT_EQ(cache_.owner_count(), 7);
}

TEST_F(PrefixCacheTest, MediaAndSaltAreCompared) {
  SequenceRequest request = Request(Count(12));
  request.media = {{.kind = SoftKind::kImage, .first_position = 3, .tokens = 4}};
  request.cache_salt = "a";
  Compute(request, {9});
  EXPECT_EQ(Hit(request), 9);
  SequenceRequest other = request;
  other.media[0].content_hash[5] = 1;
  EXPECT_EQ(Hit(other), 0) << "another picture";
  other = request;
  other.media.clear();
  EXPECT_EQ(Hit(other), 0) << "the same ids as text";
  other = request;
  other.cache_salt = "b";
  EXPECT_EQ(Hit(other), 0);
  other = request;
  other.media.push_back({.kind = SoftKind::kAudio, .first_position = 10, .tokens = 1});
  EXPECT_EQ(Hit(other), 9) << "what comes behind does not matter";
}

TEST_F(PrefixCacheTest, NothingIsCutInsideAPicture) {
  SequenceRequest request = Request(Count(12));
  request.media = {{.kind = SoftKind::kImage, .first_position = 3, .tokens = 4}};
  Compute(request, {3, 5, 7});
  EXPECT_EQ(cache_.entries(), 2);
  SequenceRequest text = Request(Count(12));
  Compute(text, {5});
  EXPECT_EQ(Hit(request), 7);
}

TEST_F(PrefixCacheTest, MakesRoomLeastWorthFirstButNotOfPagesInUse) {
  Compute(Request(Count(30)), {28});          // 7 full pages, 2 sliding ones
  Compute(Request({9, 9, 9, 9, 9, 9}), {4});  // 1 and 1: fewer tokens for each byte
  cache_.MakeRoom(13, 20);
  EXPECT_EQ(Hit(Request(Count(30))), 0);
  EXPECT_EQ(cache_.entries(), 0);

  Compute(Request(Count(30)), {28});
  Compute(Request({9, 9, 9, 9, 9, 9}), {4});
  cache_.MakeRoom(13, 0);  // one page is missing
  EXPECT_EQ(cache_.entries(), 1);
  EXPECT_EQ(Hit(Request(Count(30))), 28);

  BlockTable user(pools_);
  const PrefixCache::Prefix prefix = *cache_.Find(Request(Count(30)));
  ASSERT_TRUE(user.Share(prefix.full, prefix.sliding, 28).ok());
  cache_.MakeRoom(20, 20);  // would free nothing
  EXPECT_EQ(cache_.entries(), 1);
}

// Nothing may depend on the order of a hash table, which differs from process to process.
TEST_F(PrefixCacheTest, OfEqualWorthTheOneNotUsedForLongestLeavesFirst) {
  std::vector<SequenceRequest> requests;
  for (int i = 0; i < 12; ++i) {
    requests.push_back(Request({i, 1, 2, 3, 4}));
    Compute(requests.back(), {4});
  }
  std::swap(requests[3], requests[11]);
  for (const SequenceRequest& request : requests) EXPECT_EQ(Hit(request), 4);
  for (const SequenceRequest& request : requests) {
    cache_.MakeRoom(full_.num_free() + 1, 0);
    EXPECT_EQ(Hit(request), 0) << request.prompt_ids[0];
  }
  EXPECT_EQ(cache_.evictions(), 12);
}

TEST_F(PrefixCacheTest, KeepsItsShare) {
  PrefixCache small(pools_, kShape, {.pages_share_max = 0.25});
  BlockTable table(pools_);
  ASSERT_TRUE(table.Extend(40).ok());
  for (const int64_t boundary : {4, 12, 20, 28}) small.Keep(Request(Count(40)), boundary, table);
  EXPECT_EQ(small.entries(), 3) << "28 positions would be 7 of 5 pages";
  PrefixCache none(pools_, kShape, {.pages_share_max = 0});
  none.Keep(Request(Count(40)), 4, table);
  EXPECT_EQ(none.entries(), 0);
}

// Sequences write what stands before a position into its slot; so a wrong page, a page that was
// given out again or a missing copy is seen by who reads it.
class Worker {
 public:
  explicit Worker(RandomWalk& walk) : walk_(walk) {}

  struct Running {
    Running(SequenceRequest r, const KvPools& pools) : request(std::move(r)), table(pools) {}
    SequenceRequest request;
    BlockTable table;
  };

  void Start() {
    running_.emplace_back(MakeRequest(), pools_);
    Running& run = running_.back();
    cache_.MakeRoom(1, 1);
    if (const std::optional<PrefixCache::Prefix> prefix = cache_.Find(run.request)) {
      ASSERT_LT(prefix->num_tokens, run.request.num_positions());
      const auto copies = run.table.Share(prefix->full, prefix->sliding, prefix->num_tokens);
      if (!copies.ok()) return;
      if (copies->full) content_[0][copies->full->to] = content_[0][copies->full->from];
      if (copies->sliding) content_[1][copies->sliding->to] = content_[1][copies->sliding->from];
      ++hits_;
    }
  }

  void Advance(Running& run) {
    const int64_t begin = run.table.num_tokens();
    const int64_t left = run.request.num_positions() - begin;
    const int64_t count = std::min<int64_t>(left, walk_.Between(1, 9));
    cache_.MakeRoom(run.table.FullPagesNeeded(count), run.table.SlidingPagesNeeded(count));
    if (!run.table.Extend(count).ok()) return;  // others hold the rest
    for (int64_t p = begin; p < begin + count; ++p) {
      Slot(0, run.table.full(), p) = Written(run.request, p);
      Slot(1, run.table.sliding(), p) = Written(run.request, p);
    }
    for (int64_t p = begin; p < begin + count; ++p) CheckReads(run, p);
    for (const int64_t boundary : run.request.cache_boundaries) {
      if (begin < boundary && boundary <= begin + count) {
        cache_.Keep(run.request, boundary, run.table);
      }
    }
    run.table.DropBefore(std::max<int64_t>(0, begin + count - (kShape.window - 1)));
  }

  void Step() {
    if (running_.size() < 3 && walk_.OneIn(2)) return Start();
    if (running_.empty()) return;
    auto run = std::next(running_.begin(), walk_.Below(static_cast<int>(running_.size())));
    const bool done = run->table.num_tokens() == run->request.num_positions();
    if (done || walk_.OneIn(20)) {
      running_.erase(run);
    } else {
      Advance(*run);
    }
    int64_t owners = cache_.owner_count();
    for (const Running& r : running_) {
      owners += static_cast<int64_t>(r.table.full().pages.size() + r.table.sliding().pages.size());
    }
    ASSERT_EQ(full_.num_owners() + sliding_.num_owners(), owners);
  }

  int64_t hits() const { return hits_; }
  int64_t evictions() const { return cache_.evictions(); }

 private:
  using Page = std::array<uint64_t, 4>;

  // Few ids and lengths, so that prompts often begin alike.
  SequenceRequest MakeRequest() {
    SequenceRequest request;
    const int tokens = walk_.Between(2, 36);
    for (int i = 0; i < tokens; ++i) request.prompt_ids.push_back(i % 9 == 0 ? walk_.Below(2) : i);
    for (int64_t p = walk_.Between(1, 8); p <= tokens; p += walk_.Between(1, 12)) {
      request.cache_boundaries.push_back(p);
    }
    return request;
  }

  static uint64_t Written(const SequenceRequest& request, int64_t position) {
    uint64_t hash = 1469598103934665603u;
    for (int64_t p = 0; p <= position; ++p) {
      hash = (hash ^ static_cast<uint64_t>(request.token_at(p))) * 1099511628211u;
    }
    return hash;
  }

  uint64_t& Slot(int kind, const PageRun& run, int64_t position) {
    const int64_t in_run = position - run.first_position;
    const PageId page = run.pages[static_cast<size_t>(in_run / kShape.page_tokens)];
    return content_[kind][page][static_cast<size_t>(in_run % kShape.page_tokens)];
  }

  void CheckReads(const Running& run, int64_t position) {
    for (int64_t p = 0; p <= position; ++p) {
      ASSERT_EQ(Slot(0, run.table.full(), p), Written(run.request, p)) << "full " << p;
      if (position - p >= kShape.window) continue;
      ASSERT_EQ(Slot(1, run.table.sliding(), p), Written(run.request, p)) << "sliding " << p;
    }
  }

  RandomWalk& walk_;
  std::map<PageId, Page> content_[2];
  PageAllocator full_{24, [this](PageId page) { content_[0][page] = {}; }};
  PageAllocator sliding_{16, [this](PageId page) { content_[1][page] = {}; }};
  KvPools pools_{full_, sliding_, kShape.page_tokens};
  PrefixCache cache_{pools_, kShape, {}};
  std::list<Running> running_;
  int64_t hits_ = 0;
};

TEST(PrefixCacheWalkTest, ReadersFindWhatWasComputedAndEveryOwnerIsKnown) {
  int64_t hits = 0, evictions = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    Worker worker(walk);
    for (int step = 0; step < 300; ++step) {
      worker.Step();
      if (testing::Test::HasFatalFailure()) return;
    }
    hits += worker.hits();
    evictions += worker.evictions();
  }
  EXPECT_GT(hits, 1000);
  EXPECT_GT(evictions, 1000);
}

}  // namespace
}  // namespace cleave
