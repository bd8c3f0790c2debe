// KV of prompts that are over, for prompts that begin in the same way.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "engine/sequence.h"
#include "runtime/base/content_hash.h"
#include "runtime/kv/block_table.h"
#include "runtime/link/transfer_plan.h"

namespace cleave {

struct PrefixCacheOptions {
  double pages_share_max = 1;  // of each pool, 0 to 1; with 0 nothing is kept
};

// Owns pages as sequences do, so entries share them with each other and with whoever is computing.
// An entry holds the first `num_tokens` positions of a prompt: all their pages of full layers, and
// of sliding layers the pages of the last window-1 of them. So a prompt goes on only where an entry
// ends, and entries end where requests ask for it (SequenceRequest::cache_boundaries).
//
// What is kept is only memory that nobody else wants: MakeRoom gives it back, what is worth least
// first. An entry's worth is by GreedyDual-Size (Cao and Irani, 1997): the tokens that it spares a
// prompt for each byte that it takes, and how lately it did so.
//
// Not thread-safe: the engine's thread owns it, as it does the pools.
class PrefixCache {
 public:
  // The pools outlive it.
  PrefixCache(const KvPools& pools, const KvShape& shape, const PrefixCacheOptions& options);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  struct Prefix {
    int64_t num_tokens = 0;
    PageRun full, sliding;  // for BlockTable::Share; they end with the next call
  };
  // The longest kept beginning of the prompt that leaves at least one position to compute, and so
  // gives a state to sample from. Tokens, media and salt are compared, not only their hashes.
  std::optional<Prefix> Find(const SequenceRequest& request);

  // Keeps the first `num_tokens` positions of the prompt, which `table` holds and which are
  // computed. Does nothing where that would cut a picture or a sound.
  void Keep(const SequenceRequest& request, int64_t num_tokens, const BlockTable& table);

  // Gives pages back until each pool has so many free ones, or nothing that is kept would free
  // more.
  void MakeRoom(int full_pages, int sliding_pages);

  int64_t entries() const { return static_cast<int64_t>(entries_.size()); }
  int64_t evictions() const { return evictions_; }  // since the start
  // How often it counts as an owner of a page, over all entries and both pools.
  int64_t owner_count() const { return full_.owner_count + sliding_.owner_count; }
  // Pages that entries hold, and how many of `pages` these are.
  int64_t full_pages() const { return full_.distinct; }
  int64_t sliding_pages() const { return sliding_.distinct; }
  // Of these, what a reader at work still pins.
  int64_t pinned_full() const { return CountPinned(full_); }
  int64_t pinned_sliding() const { return CountPinned(sliding_); }
  int64_t CountFull(absl::Span<const PageId> pages) const { return Count(pages, full_); }
  int64_t CountSliding(absl::Span<const PageId> pages) const { return Count(pages, sliding_); }

 private:
  struct Entry {
    std::string salt;
    std::vector<int32_t> ids;
    std::vector<SoftSpan> media;  // wholly inside
    std::vector<PageId> full, sliding;
    int64_t first_sliding_position = 0;
    double worth = 0;      // tokens for each byte
    double priority = 0;   // the lowest leaves first
    int64_t last_use = 0;  // counted over all entries: of equals the one not used for longest
    bool LeavesBefore(const Entry& other) const {
      return std::tie(priority, last_use) < std::tie(other.priority, other.last_use);
    }
  };
  // What the entries hold of one pool.
  struct Holdings {
    PageAllocator* pool;
    std::vector<int> entries_of;  // [pages]
    int64_t distinct = 0;
    int64_t owner_count = 0;
  };
  using Entries = absl::flat_hash_map<ContentHash, std::unique_ptr<Entry>>;

  std::unique_ptr<Entry> MakeEntry(const SequenceRequest& request, int64_t num_tokens,
                                   const BlockTable& table) const;
  static bool Holds(const Entry& entry, const SequenceRequest& request);
  void Touch(Entry& entry) {
    entry.priority = age_ + entry.worth;
    entry.last_use = ++uses_;
  }
  static void Take(absl::Span<const PageId> pages, Holdings& holdings);
  static void GiveBack(absl::Span<const PageId> pages, Holdings& holdings);
  static bool HoldsSpare(absl::Span<const PageId> pages, const Holdings& holdings);
  static int64_t CountPinned(const Holdings& holdings);
  static int64_t Count(absl::Span<const PageId> pages, const Holdings& holdings);
  // Of the entries that may leave, the one that leaves before all others does so. False: none may.
  bool EvictLeast(absl::FunctionRef<bool(const Entry&)> may_leave = [](const Entry&) {
    return true;
  });

  const KvShape shape_;
  const int64_t full_pages_max_, sliding_pages_max_;
  Holdings full_, sliding_;
  Entries entries_;
  std::map<int64_t, int> lengths_;  // of entries, and how many have each
  double age_ = 0;                  // priority of the last that left
  int64_t uses_ = 0;
  int64_t evictions_ = 0;
};

}  // namespace cleave
