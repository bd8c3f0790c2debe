// Media files that gateways have brought, until the requests that name them are prepared.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/base/content_hash.h"
#include "runtime/base/mutex.h"

namespace cleave {

// Bounded in bytes; the least recently used file leaves first. Thread-safe.
class MediaStore {
 public:
  explicit MediaStore(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // INVALID_ARGUMENT (MEDIA_LIMIT) when the file alone is larger than the store;
  // INVALID_ARGUMENT (MEDIA_UNDECODABLE) when `bytes` do not have this hash, or other bytes do.
  absl::Status Put(const ContentHash& hash, std::string bytes);
  // The file, shared with the store and whoever else reads it; null when it is not here.
  std::shared_ptr<const std::string> Get(const ContentHash& hash);

 private:
  struct Entry {
    ContentHash hash;
    std::shared_ptr<const std::string> bytes;
  };
  // Keeps `bytes`, unless a file of this hash is here; returns the one that is kept.
  std::shared_ptr<const std::string> Hold(const ContentHash& hash,
                                          std::shared_ptr<const std::string> bytes);

  const int64_t bytes_max_;
  Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // most recently used first
  std::map<ContentHash, std::list<Entry>::iterator> index_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace cleave
