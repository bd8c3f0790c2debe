#include "engine/prefix_cache.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace cleave {
namespace {

template <typename T>
void Append(const T& value, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// The hash of what stands in [begin, end) behind everything that `before` is the hash of.
ContentHash Chain(const ContentHash& before, const SequenceRequest& request, int64_t begin,
                  int64_t end) {
  std::string bytes(before.begin(), before.end());
  for (int64_t p = begin; p < end; ++p) Append(request.prompt_ids[static_cast<size_t>(p)], bytes);
  for (const SoftSpan& span : request.media) {
    if (span.first_position < begin || span.first_position >= end) continue;
    Append(span.kind, bytes);
    Append(span.first_position, bytes);
    Append(span.tokens, bytes);
    Append(span.image_token_budget, bytes);
    bytes.append(span.content_hash.begin(), span.content_hash.end());
  }
  return HashContent(bytes);
}

// Keys of beginnings of one prompt, shorter ones first. Whole pages are hashed once.
class PrefixKeys {
 public:
  PrefixKeys(const SequenceRequest& request, int page_tokens)
      : request_(request), page_tokens_(page_tokens), chained_(HashContent(request.cache_salt)) {}

  ContentHash Key(int64_t num_tokens) {
    for (; hashed_ + page_tokens_ <= num_tokens; hashed_ += page_tokens_) {
      chained_ = Chain(chained_, request_, hashed_, hashed_ + page_tokens_);
    }
    return Chain(chained_, request_, hashed_, num_tokens);
  }

 private:
  const SequenceRequest& request_;
  const int page_tokens_;
  int64_t hashed_ = 0;
  ContentHash chained_;
};

bool CutsMedia(const SequenceRequest& request, int64_t position) {
  return std::any_of(request.media.begin(), request.media.end(), [&](const SoftSpan& span) {
    return span.first_position < position && position < span.end();
  });
}

// The spans that lie before `position`.
absl::Span<const SoftSpan> MediaBefore(const SequenceRequest& request, int64_t position) {
  size_t count = 0;
  while (count < request.media.size() && request.media[count].first_position < position) ++count;
  return absl::MakeConstSpan(request.media).first(count);
}

}  // namespace

PrefixCache::PrefixCache(const KvPools& pools, const KvShape& shape,
                         const PrefixCacheOptions& options)
    : shape_(shape),
      full_pages_max_(static_cast<int64_t>(options.pages_share_max * pools.full.num_pages())),
      sliding_pages_max_(static_cast<int64_t>(options.pages_share_max * pools.sliding.num_pages())),
      full_{.pool = &pools.full,
            .entries_of = std::vector<int>(static_cast<size_t>(pools.full.num_pages()))},
      sliding_{.pool = &pools.sliding,
               .entries_of = std::vector<int>(static_cast<size_t>(pools.sliding.num_pages()))} {}

PrefixCache::~PrefixCache() {
  for (const auto& [key, entry] : entries_) {
    GiveBack(entry->full, full_);
    GiveBack(entry->sliding, sliding_);
  }
}

std::optional<PrefixCache::Prefix> PrefixCache::Find(const SequenceRequest& request) {
  const int64_t longest =
      std::min(static_cast<int64_t>(request.prompt_ids.size()), request.num_positions() - 1);
  PrefixKeys keys(request, shape_.page_tokens);
  Entry* found = nullptr;
  for (const auto& [length, count] : lengths_) {
    if (length > longest) break;
    if (CutsMedia(request, length)) continue;
    const auto it = entries_.find(keys.Key(length));
    if (it != entries_.end() && Holds(*it->second, request)) found = it->second.get();
  }
  if (found == nullptr) return std::nullopt;
  Touch(*found);
  return Prefix{.num_tokens = static_cast<int64_t>(found->ids.size()),
                .full = {found->full, 0},
                .sliding = {found->sliding, found->first_sliding_position}};
}

bool PrefixCache::Holds(const Entry& entry, const SequenceRequest& request) {
  const absl::Span<const SoftSpan> media =
      MediaBefore(request, static_cast<int64_t>(entry.ids.size()));
  return entry.salt == request.cache_salt &&
         std::equal(entry.ids.begin(), entry.ids.end(), request.prompt_ids.begin()) &&
         std::equal(entry.media.begin(), entry.media.end(), media.begin(), media.end());
}

void PrefixCache::Keep(const SequenceRequest& request, int64_t num_tokens,
                       const BlockTable& table) {
  CHECK(num_tokens <= table.num_tokens());
  if (num_tokens == 0 || num_tokens > static_cast<int64_t>(request.prompt_ids.size()) ||
      CutsMedia(request, num_tokens)) {
    return;
  }
  const ContentHash key = PrefixKeys(request, shape_.page_tokens).Key(num_tokens);
  if (const auto it = entries_.find(key); it != entries_.end()) {
    Touch(*it->second);
    return;
  }
  std::unique_ptr<Entry> entry = MakeEntry(request, num_tokens, table);
  if (static_cast<int64_t>(entry->full.size()) > full_pages_max_ ||
      static_cast<int64_t>(entry->sliding.size()) > sliding_pages_max_) {
    return;
  }
  Touch(*entry);
  Take(entry->full, full_);
  Take(entry->sliding, sliding_);
  ++lengths_[num_tokens];
  entries_.emplace(key, std::move(entry));
  while (full_.distinct > full_pages_max_ || sliding_.distinct > sliding_pages_max_) EvictLeast();
}

std::unique_ptr<PrefixCache::Entry> PrefixCache::MakeEntry(const SequenceRequest& request,
                                                           int64_t num_tokens,
                                                           const BlockTable& table) const {
  auto entry = std::make_unique<Entry>();
  entry->salt = request.cache_salt;
  entry->ids.assign(request.prompt_ids.begin(), request.prompt_ids.begin() + num_tokens);
  const absl::Span<const SoftSpan> media = MediaBefore(request, num_tokens);
  entry->media.assign(media.begin(), media.end());

  const int page_tokens = shape_.page_tokens;
  const int64_t page_end = (num_tokens + page_tokens - 1) / page_tokens;
  const int64_t first_page = std::max<int64_t>(0, num_tokens - (shape_.window - 1)) / page_tokens;
  const PageRun full = table.full(), sliding = table.sliding();
  const int64_t in_run = first_page - sliding.first_position / page_tokens;
  CHECK(in_run >= 0);
  const auto full_pages = full.pages.first(static_cast<size_t>(page_end));
  const auto sliding_pages = sliding.pages.subspan(static_cast<size_t>(in_run),
                                                   static_cast<size_t>(page_end - first_page));
  entry->full.assign(full_pages.begin(), full_pages.end());
  entry->sliding.assign(sliding_pages.begin(), sliding_pages.end());
  entry->first_sliding_position = first_page * page_tokens;
  const int64_t bytes =
      static_cast<int64_t>(full_pages.size()) * shape_.full_layers * shape_.full_page_bytes +
      static_cast<int64_t>(sliding_pages.size()) * shape_.sliding_layers *
          shape_.sliding_page_bytes;
  entry->worth = static_cast<double>(num_tokens) / static_cast<double>(bytes);
  return entry;
}

void PrefixCache::MakeRoom(int full_pages, int sliding_pages) {
  while (full_.pool->num_free() < full_pages || sliding_.pool->num_free() < sliding_pages) {
    // Of those whose going brings pages of a pool that is short nearer to being free.
    const auto helps = [&](const Entry& entry) {
      return (full_.pool->num_free() < full_pages && HoldsSpare(entry.full, full_)) ||
             (sliding_.pool->num_free() < sliding_pages && HoldsSpare(entry.sliding, sliding_));
    };
    if (!EvictLeast(helps)) return;
  }
}

// Whether some of the pages is held by entries alone.
bool PrefixCache::HoldsSpare(absl::Span<const PageId> pages, const Holdings& holdings) {
  return std::any_of(pages.begin(), pages.end(), [&](PageId page) {
    return holdings.pool->owners(page) == holdings.entries_of[static_cast<size_t>(page)] &&
           holdings.pool->pins(page) == 0;
  });
}

int64_t PrefixCache::CountPinned(const Holdings& holdings) {
  int64_t pinned = 0;
  for (size_t page = 0; page < holdings.entries_of.size(); ++page) {
    const bool is_pinned = holdings.pool->pins(PageId{static_cast<int32_t>(page)}) > 0;
    pinned += holdings.entries_of[page] > 0 && is_pinned ? 1 : 0;
  }
  return pinned;
}

int64_t PrefixCache::Count(absl::Span<const PageId> pages, const Holdings& holdings) {
  return std::count_if(pages.begin(), pages.end(), [&](PageId page) {
    return holdings.entries_of[static_cast<size_t>(page)] > 0;
  });
}

bool PrefixCache::EvictLeast(absl::FunctionRef<bool(const Entry&)> may_leave) {
  auto least = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (least != entries_.end() && !it->second->LeavesBefore(*least->second)) continue;
    if (may_leave(*it->second)) least = it;
  }
  if (least == entries_.end()) return false;
  const Entry& entry = *least->second;
  age_ = std::max(age_, entry.priority);
  GiveBack(entry.full, full_);
  GiveBack(entry.sliding, sliding_);
  const auto length = lengths_.find(static_cast<int64_t>(entry.ids.size()));
  if (--length->second == 0) lengths_.erase(length);
  entries_.erase(least);
  ++evictions_;
  return true;
}

void PrefixCache::Take(absl::Span<const PageId> pages, Holdings& holdings) {
  for (const PageId page : pages) {
    holdings.pool->AddOwner(page);
    if (++holdings.entries_of[static_cast<size_t>(page)] == 1) ++holdings.distinct;
  }
  holdings.owner_count += static_cast<int64_t>(pages.size());
}

void PrefixCache::GiveBack(absl::Span<const PageId> pages, Holdings& holdings) {
  for (const PageId page : pages) {
    if (--holdings.entries_of[static_cast<size_t>(page)] == 0) --holdings.distinct;
  }
  holdings.pool->Release(pages);
  holdings.owner_count -= static_cast<int64_t>(pages.size());
}

}  // namespace cleave
