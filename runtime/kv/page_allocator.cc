#include "runtime/kv/page_allocator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace cleave {

PageAllocator::PageAllocator(int num_pages, FreeHook on_free)
    : states_(static_cast<size_t>(num_pages)),
      free_ring_(static_cast<size_t>(num_pages)),
      num_free_(num_pages),
      on_free_(std::move(on_free)) {
  for (int i = 0; i < num_pages; ++i) free_ring_[static_cast<size_t>(i)] = PageId{i};
}

PageAllocator::~PageAllocator() { CHECK(num_free_ == num_pages()); }

absl::StatusOr<PageId> PageAllocator::Allocate() {
  PageId page;
  const absl::Status status = Allocate(absl::MakeSpan(&page, 1));
  if (!status.ok()) return status;
  return page;
}

absl::Status PageAllocator::Allocate(absl::Span<PageId> pages) {
  if (pages.size() > static_cast<size_t>(num_free_)) {
    return MakeError(absl::StatusCode::kResourceExhausted, "the KV cache has too few free pages",
                     {.reason = Reason::kKvCacheFull,
                      .field = "",
                      .limit = absl::StrCat(num_free_, " pages are free"),
                      .actual = absl::StrCat(pages.size(), " pages are needed"),
                      .retry_after = std::nullopt});
  }
  for (PageId& page : pages) page = TakeOldest();
  return absl::OkStatus();
}

void PageAllocator::AddOwner(PageId page) {
  PageState& s = state(page);
  CHECK(s.owners > 0);
  ++s.owners;
  ++num_owners_;
}

void PageAllocator::Release(PageId page) {
  PageState& s = state(page);
  CHECK(s.owners > 0);
  --num_owners_;
  if (--s.owners > 0) return;
  if (s.pins > 0) {
    ++num_quarantined_;
  } else {
    PutBack(page);
  }
}

void PageAllocator::Release(absl::Span<const PageId> pages) {
  for (const PageId page : pages) Release(page);
}

void PageAllocator::Pin(PageId page) {
  PageState& s = state(page);
  CHECK(s.owners > 0);
  ++s.pins;
}

void PageAllocator::Pin(absl::Span<const PageId> pages) {
  for (const PageId page : pages) Pin(page);
}

void PageAllocator::Unpin(PageId page) {
  PageState& s = state(page);
  CHECK(s.pins > 0);
  if (--s.pins > 0 || s.owners > 0) return;
  --num_quarantined_;
  PutBack(page);
}

void PageAllocator::Unpin(absl::Span<const PageId> pages) {
  for (const PageId page : pages) Unpin(page);
}

const PageAllocator::PageState& PageAllocator::state(PageId page) const {
  const auto index = static_cast<int32_t>(page);
  CHECK(index >= 0 && index < num_pages());
  return states_[static_cast<size_t>(index)];
}

PageAllocator::PageState& PageAllocator::state(PageId page) {
  return const_cast<PageState&>(std::as_const(*this).state(page));
}

PageId PageAllocator::TakeOldest() {
  const PageId page = free_ring_[static_cast<size_t>(free_head_)];
  free_head_ = (free_head_ + 1) % num_pages();
  --num_free_;
  PageState& s = state(page);
  s.owners = 1;
  ++num_owners_;
  ++s.generation;
  return page;
}

void PageAllocator::PutBack(PageId page) {
  if (on_free_) on_free_(page);
  free_ring_[static_cast<size_t>((free_head_ + num_free_) % num_pages())] = page;
  ++num_free_;
}

}  // namespace cleave
