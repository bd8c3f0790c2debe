// Who holds which page of one KV pool. Page ids are opaque: what a page holds, and where its bytes
// lie, is known to model/kv_layout and to the engines.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace cleave {

enum class PageId : int32_t {};

// A pool of `num_pages` pages. A page is held in two ways, both counted:
//   owners  sequences and cache entries that mean to read it again;
//   pins    readers and writers at work (a submitted step, a send, a receive).
// It is free, and so may be given out again, only when both counts are zero. A page without owners
// that is still pinned is quarantined. Free pages are given out oldest first.
//
// Not thread-safe: the engine thread owns it; other threads post their unpins to its mailbox. All
// memory is taken in the constructor. Misuse of an id (out of range, released or unpinned more
// often than taken, owned while free) is a broken invariant and ends the process.
class PageAllocator {
 public:
  // Called when a page becomes free, before it can be given out again. Test builds poison it here.
  using FreeHook = std::function<void(PageId)>;

  explicit PageAllocator(int num_pages, FreeHook on_free = nullptr);
  // Every page must be free: whoever holds one would outlive its memory.
  ~PageAllocator();
  PageAllocator(const PageAllocator&) = delete;
  PageAllocator& operator=(const PageAllocator&) = delete;

  // One page with one owner and no pins. RESOURCE_EXHAUSTED (KV_CACHE_FULL) when none is free.
  absl::StatusOr<PageId> Allocate();
  // Fills `pages`, each with one owner. On RESOURCE_EXHAUSTED neither it nor the pool has changed.
  absl::Status Allocate(absl::Span<PageId> pages);

  // The page must have an owner already: free and quarantined pages have lost their content.
  void AddOwner(PageId page);
  void Release(PageId page);
  void Release(absl::Span<const PageId> pages);

  // The page must be owned when it is pinned; it may lose its owners while it is.
  void Pin(PageId page);
  void Pin(absl::Span<const PageId> pages);
  void Unpin(PageId page);
  void Unpin(absl::Span<const PageId> pages);

  // How many times the page has been given out. A (page, generation) pair is never used twice
  // (the count wraps after 2^32), so a late reader can tell that the page has a new life.
  uint32_t generation(PageId page) const { return state(page).generation; }
  int owners(PageId page) const { return state(page).owners; }
  int pins(PageId page) const { return state(page).pins; }

  // num_pages() = num_free() + num_live() + num_quarantined().
  int num_pages() const { return static_cast<int>(states_.size()); }
  int num_free() const { return num_free_; }
  int num_live() const { return num_pages() - num_free_ - num_quarantined_; }
  int num_quarantined() const { return num_quarantined_; }
  // Of all pages together: how many sequences and cache entries must name one.
  int64_t num_owners() const { return num_owners_; }

 private:
  struct PageState {
    int32_t owners = 0;
    int32_t pins = 0;
    uint32_t generation = 0;
  };

  const PageState& state(PageId page) const;
  PageState& state(PageId page);
  PageId TakeOldest();
  void PutBack(PageId page);

  std::vector<PageState> states_;
  std::vector<PageId> free_ring_;  // num_free_ ids from free_head_ on, oldest first
  int free_head_ = 0;
  int num_free_ = 0;
  int num_quarantined_ = 0;
  int64_t num_owners_ = 0;
  FreeHook on_free_;
};

}  // namespace cleave
