// The links that prefill workers hold open to one decode worker.
#pragma once

#include <map>

#include "absl/status/status.h"
#include "runtime/link/link_messages.h"

namespace cleave {

class OpenedLink {
 public:
  // A newer link of the same prefill process has been opened: this one must close.
  virtual void OnSuperseded() = 0;

 protected:
  ~OpenedLink() = default;
};

// At most one link for each prefill process, the one with the highest epoch: a stream that hangs
// half-open must not live beside its successor. Owned by the link thread.
class LinkRegistry {
 public:
  // STALE_EPOCH when a link of this or a newer epoch is open. Otherwise `link` is entered, and one
  // of an older epoch is superseded.
  absl::Status Enter(Incarnation prefill, LinkEpoch epoch, OpenedLink& link);
  // Only takes out `link` itself, not one that has superseded it.
  void Leave(Incarnation prefill, const OpenedLink& link);
  int size() const { return static_cast<int>(links_.size()); }

 private:
  struct Entry {
    LinkEpoch epoch;
    OpenedLink* link;
  };
  std::map<Incarnation, Entry> links_;
};

}  // namespace cleave
