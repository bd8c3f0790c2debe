// Which pages hold the KV of one sequence.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/kv/page_allocator.h"

namespace cleave {

// The most sliding-window pages a step of `rows` rows can need. The rows n .. n+rows-1 of a window
// of `window` positions (each row sees itself and the window-1 positions before it) read and write
// positions n-(window-1) .. n+rows-1, which may begin anywhere in a page.
int SlidingPagesMax(int window, int rows, int page_tokens);

// Consecutive pages of one kind, in token order. A view: it ends with the next change of the table.
struct PageRun {
  absl::Span<const PageId> pages;
  int64_t first_position = 0;  // of pages[0]'s first row; a multiple of the page size
};

// A row copy that the caller owes: rows [0, rows) of every layer of `from` go to `to`.
struct PageCopy {
  PageId from;
  PageId to;
  int rows;
};

// The two pools of a worker. Both outlive every table.
struct KvPools {
  PageAllocator& full;     // pages of all full-attention (global) layers
  PageAllocator& sliding;  // pages of all sliding-window layers
  int page_tokens;         // rows of a page, the same in both
};

// The pages of one sequence, in token order. Full-attention layers keep all positions; sliding
// layers keep those from the page that holds dropped_before() on. Every page here counts this
// table as one owner. Move-only; the destructor releases what is left. Not thread-safe: the engine
// thread owns it, as it does the pools.
class BlockTable {
 public:
  explicit BlockTable(const KvPools& pools);
  ~BlockTable();
  BlockTable(BlockTable&& other) noexcept;
  BlockTable& operator=(BlockTable&& other) noexcept;

  // Positions [0, num_tokens()) have room; only the last page of a kind may be partly used.
  int64_t num_tokens() const { return num_tokens_; }
  int64_t dropped_before() const { return dropped_before_; }
  PageRun full() const { return {full_pages_, 0}; }
  PageRun sliding() const;

  // Makes room for `count` more positions in both pools. On RESOURCE_EXHAUSTED nothing has changed,
  // so the scheduler may try again once another sequence has finished.
  absl::Status Extend(int64_t count);
  // Room in the lists of pages, so that they do not grow before the sequence has `num_tokens`
  // positions, of which `sliding_tokens` at a time have sliding pages.
  void Reserve(int64_t num_tokens, int64_t sliding_tokens);

  // Pages Extend(count) would take from each pool.
  int FullPagesNeeded(int64_t count) const;
  int SlidingPagesNeeded(int64_t count) const;

  // No later step reads a sliding layer before `position`: releases the pages wholly before it.
  // May lie beyond num_tokens(): positions before it then get no sliding page at all, which is how
  // a decode worker makes room for a prompt that arrives with only the end of its window.
  void DropBefore(int64_t position);

  // Forgets positions from `num_tokens` on (rejected drafts) and releases the pages that hold none
  // of the others. Not below dropped_before(): that part of the window is gone.
  void Truncate(int64_t num_tokens);

  // Fills this empty table with the first `num_tokens` positions of another sequence or of a cache
  // entry (n candidates, prefix hit). Whole pages become shared; where the last page of a kind is
  // partly used, this table gets a page of its own and the returned copies (at most one of each
  // kind) are to be made before a step reads it. On RESOURCE_EXHAUSTED nothing has changed.
  struct SharedPrefix {
    std::optional<PageCopy> full;
    std::optional<PageCopy> sliding;
  };
  absl::StatusOr<SharedPrefix> Share(const PageRun& full, const PageRun& sliding,
                                     int64_t num_tokens);

  // Gives all pages back; the table is empty again.
  void Release();

 private:
  int64_t PagesFor(int64_t tokens) const;    // ceil(tokens / page_tokens)
  int64_t FirstSlidingPage() const;          // ordinal of sliding_pages_[0]
  absl::Status Grow(int full, int sliding);  // appends pages to both lists or to neither

  KvPools pools_;
  int64_t num_tokens_ = 0;
  int64_t dropped_before_ = 0;
  std::vector<PageId> full_pages_;  // [ceil(num_tokens / page_tokens)]
  std::vector<PageId>
      sliding_pages_;  // ordinals FirstSlidingPage() .. ceil(num_tokens / page_tokens)
};

}  // namespace cleave
