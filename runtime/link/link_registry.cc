#include "runtime/link/link_registry.h"

#include "runtime/link/link_error.h"

namespace cleave {

absl::Status LinkRegistry::Enter(Incarnation prefill, LinkEpoch epoch, OpenedLink& link) {
  const auto found = links_.find(prefill);
  if (found == links_.end()) {
    links_.emplace(prefill, Entry{epoch, &link});
    return absl::OkStatus();
  }
  if (epoch <= found->second.epoch) {
    return LinkError(Reason::kStaleEpoch, "a link of this or a newer epoch is open");
  }
  OpenedLink* old = found->second.link;
  found->second = Entry{epoch, &link};
  old->OnSuperseded();
  return absl::OkStatus();
}

void LinkRegistry::Leave(Incarnation prefill, const OpenedLink& link) {
  const auto found = links_.find(prefill);
  if (found != links_.end() && found->second.link == &link) links_.erase(found);
}

}  // namespace cleave
