#include "prefill/media_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"

namespace cleave {

absl::Status MediaStore::Put(const ContentHash& hash, std::string bytes) {
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (size > bytes_max_) {
    return InvalidField(Reason::kMediaLimit, "total_bytes", absl::StrCat("at most ", bytes_max_),
                        absl::StrCat(size));
  }
  if (HashContent(bytes) != hash) {
    return InvalidField(Reason::kMediaUndecodable, "content_hash", "the hash of the bytes",
                        "another one");
  }
  auto shared = std::make_shared<const std::string>(std::move(bytes));
  // The hash can be forged: nobody's picture may stand in for another's.
  const std::shared_ptr<const std::string> held = Hold(hash, shared);
  if (held == shared || *held == *shared) return absl::OkStatus();
  return InvalidField(Reason::kMediaUndecodable, "content_hash", "a hash of these bytes alone",
                      "that of another file");
}

std::shared_ptr<const std::string> MediaStore::Hold(const ContentHash& hash,
                                                    std::shared_ptr<const std::string> bytes) {
  MutexLock lock(mutex_);
  if (const auto found = index_.find(hash); found != index_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->bytes;
  }
  bytes_ += static_cast<int64_t>(bytes->size());
  entries_.push_front({hash, bytes});
  index_[hash] = entries_.begin();
  while (bytes_ > bytes_max_) {
    bytes_ -= static_cast<int64_t>(entries_.back().bytes->size());
    index_.erase(entries_.back().hash);
    entries_.pop_back();
  }
  return bytes;
}

std::shared_ptr<const std::string> MediaStore::Get(const ContentHash& hash) {
  MutexLock lock(mutex_);
  const auto found = index_.find(hash);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->bytes;
}

}  // namespace cleave
