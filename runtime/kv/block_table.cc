#include "runtime/kv/block_table.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// The last page of `run` and its used rows, where sharing the first `num_tokens` positions needs a
// copy: the page is partly used, so both sequences would write into it.
std::optional<PageCopy> PartlyUsedPage(const PageRun& run, int64_t num_tokens, int page_tokens) {
  const auto rows = static_cast<int>(num_tokens % page_tokens);
  const int64_t in_run = num_tokens - run.first_position;
  if (rows == 0 || in_run <= 0) return std::nullopt;
  return PageCopy{run.pages[static_cast<size_t>(in_run / page_tokens)], PageId{-1}, rows};
}

// The pages of `run` that positions before `num_tokens` fill whole.
absl::Span<const PageId> WholePages(const PageRun& run, int64_t num_tokens, int page_tokens) {
  const int64_t count = std::max<int64_t>(0, (num_tokens - run.first_position) / page_tokens);
  return run.pages.subspan(0, static_cast<size_t>(count));
}

void ShareInto(std::vector<PageId>& table, absl::Span<const PageId> pages, PageAllocator& pool) {
  for (const PageId page : pages) {
    pool.AddOwner(page);
    table.push_back(page);
  }
}

}  // namespace

int SlidingPagesMax(int window, int rows, int page_tokens) {
  const int positions = window - 1 + rows;
  return (positions - 1 + page_tokens - 1) / page_tokens + 1;
}

BlockTable::BlockTable(const KvPools& pools) : pools_(pools) { CHECK(pools.page_tokens > 0); }

BlockTable::~BlockTable() { Release(); }

BlockTable::BlockTable(BlockTable&& other) noexcept
    : pools_(other.pools_),
      num_tokens_(std::exchange(other.num_tokens_, 0)),
      dropped_before_(std::exchange(other.dropped_before_, 0)),
      full_pages_(std::exchange(other.full_pages_, {})),
      sliding_pages_(std::exchange(other.sliding_pages_, {})) {}

BlockTable& BlockTable::operator=(BlockTable&& other) noexcept {
  CHECK(&pools_.full == &other.pools_.full && &pools_.sliding == &other.pools_.sliding);
  if (this == &other) return *this;
  Release();
  num_tokens_ = std::exchange(other.num_tokens_, 0);
  dropped_before_ = std::exchange(other.dropped_before_, 0);
  full_pages_ = std::exchange(other.full_pages_, {});
  sliding_pages_ = std::exchange(other.sliding_pages_, {});
  return *this;
}

PageRun BlockTable::sliding() const {
  return {sliding_pages_, FirstSlidingPage() * pools_.page_tokens};
}

absl::Status BlockTable::Extend(int64_t count) {
  CHECK(count >= 0);
  RETURN_IF_ERROR(Grow(FullPagesNeeded(count), SlidingPagesNeeded(count)));
  num_tokens_ += count;
  return absl::OkStatus();
}

void BlockTable::Reserve(int64_t num_tokens, int64_t sliding_tokens) {
  full_pages_.reserve(static_cast<size_t>(PagesFor(num_tokens)));
  sliding_pages_.reserve(static_cast<size_t>(PagesFor(sliding_tokens) + 1));
}

int BlockTable::FullPagesNeeded(int64_t count) const {
  return static_cast<int>(PagesFor(num_tokens_ + count) - static_cast<int64_t>(full_pages_.size()));
}

int BlockTable::SlidingPagesNeeded(int64_t count) const {
  const int64_t end = PagesFor(num_tokens_ + count);
  const int64_t have = FirstSlidingPage() + static_cast<int64_t>(sliding_pages_.size());
  return static_cast<int>(std::max<int64_t>(0, end - have));
}

void BlockTable::DropBefore(int64_t position) {
  if (position <= dropped_before_) return;
  const int64_t dropped_pages = position / pools_.page_tokens - FirstSlidingPage();
  dropped_before_ = position;
  const auto count = std::min(static_cast<size_t>(dropped_pages), sliding_pages_.size());
  pools_.sliding.Release(absl::MakeConstSpan(sliding_pages_).subspan(0, count));
  sliding_pages_.erase(sliding_pages_.begin(),
                       sliding_pages_.begin() + static_cast<std::ptrdiff_t>(count));
}

void BlockTable::Truncate(int64_t num_tokens) {
  CHECK(num_tokens <= num_tokens_ && num_tokens >= std::min(dropped_before_, num_tokens_));
  num_tokens_ = num_tokens;
  const int64_t end = PagesFor(num_tokens);
  const auto full = static_cast<size_t>(end);
  const auto sliding = static_cast<size_t>(std::max<int64_t>(0, end - FirstSlidingPage()));
  if (full < full_pages_.size()) {
    pools_.full.Release(absl::MakeConstSpan(full_pages_).subspan(full));
    full_pages_.resize(full);
  }
  if (sliding < sliding_pages_.size()) {
    pools_.sliding.Release(absl::MakeConstSpan(sliding_pages_).subspan(sliding));
    sliding_pages_.resize(sliding);
  }
}

absl::StatusOr<BlockTable::SharedPrefix> BlockTable::Share(const PageRun& full,
                                                           const PageRun& sliding,
                                                           int64_t num_tokens) {
  const int page_tokens = pools_.page_tokens;
  const auto holds = [&](const PageRun& run) {
    const int64_t end = run.first_position + static_cast<int64_t>(run.pages.size()) * page_tokens;
    return run.first_position % page_tokens == 0 && end >= num_tokens;
  };
  CHECK(num_tokens_ == 0 && dropped_before_ == 0 && full.first_position == 0);
  CHECK(holds(full) && (sliding.first_position >= num_tokens || holds(sliding)));

  SharedPrefix copies{PartlyUsedPage(full, num_tokens, page_tokens),
                      PartlyUsedPage(sliding, num_tokens, page_tokens)};
  // The pages of our own first: only they can fail.
  RETURN_IF_ERROR(Grow(copies.full ? 1 : 0, copies.sliding ? 1 : 0));
  const std::vector<PageId> own_full = std::exchange(full_pages_, {});
  const std::vector<PageId> own_sliding = std::exchange(sliding_pages_, {});
  ShareInto(full_pages_, WholePages(full, num_tokens, page_tokens), pools_.full);
  ShareInto(sliding_pages_, WholePages(sliding, num_tokens, page_tokens), pools_.sliding);
  if (copies.full) full_pages_.push_back(copies.full->to = own_full[0]);
  if (copies.sliding) sliding_pages_.push_back(copies.sliding->to = own_sliding[0]);
  dropped_before_ = sliding.first_position;
  num_tokens_ = num_tokens;
  return copies;
}

void BlockTable::Release() {
  pools_.full.Release(full_pages_);
  pools_.sliding.Release(sliding_pages_);
  full_pages_.clear();
  sliding_pages_.clear();
  num_tokens_ = 0;
  dropped_before_ = 0;
}

int64_t BlockTable::PagesFor(int64_t tokens) const {
  return (tokens + pools_.page_tokens - 1) / pools_.page_tokens;
}

int64_t BlockTable::FirstSlidingPage() const { return dropped_before_ / pools_.page_tokens; }

absl::Status BlockTable::Grow(int full, int sliding) {
  // The pool that lacks pages says so before the other has given any.
  if (full > pools_.full.num_free()) {
    std::vector<PageId> too_many(static_cast<size_t>(full));
    return pools_.full.Allocate(absl::MakeSpan(too_many));
  }
  const auto append = [](PageAllocator& pool, int count, std::vector<PageId>& pages) {
    const size_t before = pages.size();
    pages.resize(before + static_cast<size_t>(count));
    const absl::Status status = pool.Allocate(absl::MakeSpan(pages).subspan(before));
    if (!status.ok()) pages.resize(before);
    return status;
  };
  RETURN_IF_ERROR(append(pools_.sliding, sliding, sliding_pages_));
  return append(pools_.full, full, full_pages_);
}

}  // namespace cleave
