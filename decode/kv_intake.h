// How the decode engine receives KV: the receiving side of the KV link, as the engine sees it.
#pragma once

#include <functional>
#include <memory>

#include "runtime/link/kv_receiver.h"

namespace cleave {

// Calls may come from any thread, return at once and are carried out in order. The answers come
// through ReceiverListener.
class KvIntake {
 public:
  virtual ~KvIntake() = default;
  // Lets a prefill worker claim the transfer. `expected` hears, on the link's thread, that the
  // ticket is known (only then may anybody be told of it), or why not. See TicketTable.
  virtual void Expect(TransferId transfer, const TicketExpectation& expectation,
                      std::function<void(const absl::Status&)> expected) = 0;
  // Nothing of this ticket is wanted any more. A transfer under way ends with OnFailed.
  virtual void Forget(Ticket ticket, Reason reason) = 0;
  // The answer to ReceiverListener::ReservePages.
  virtual void Reserved(TransferId transfer,
                        absl::StatusOr<std::unique_ptr<TransferDestination>> destination) = 0;
};

}  // namespace cleave
