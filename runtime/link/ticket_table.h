// Which requests a decode worker expects, on whichever link they come.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/link/link_messages.h"

namespace cleave {

// What the decode worker knows of a transfer before it is claimed.
struct TicketExpectation {
  TransferPlan plan;
  int64_t num_positions = 0;                     // of the prompt whose KV comes
  int64_t num_candidates = 1;                    // first tokens in the Commit
  int64_t last_hidden_bytes = 0;                 // size of CommitPayload::last_hidden_state
  absl::Time deadline = absl::InfiniteFuture();  // the session deadline
};

// Whoever works on a claimed ticket. Is told when it must stop: the ticket was forgotten, or a
// newer epoch is expected.
class TicketClaimant {
 public:
  virtual void OnTicketRevoked(TransferId transfer, const absl::Status& why) = 0;

 protected:
  ~TicketClaimant() = default;
};

// One entry for each expected request, from Expect to Forget (or its deadline). A ticket has one
// current epoch, which only rises, and is claimed at most once in each. One table for all links of
// a process, owned by its link thread.
class TicketTable {
 public:
  // `on_expired` is told of a ticket that nobody had claimed when its deadline passed.
  TicketTable(int tickets_max, std::function<void(TransferId)> on_expired);

  // A new ticket, or a higher epoch of a known one, which revokes the claim of the older epoch.
  // STALE_EPOCH when the epoch is not higher than the known one; QUEUE_FULL beyond `tickets_max`.
  absl::Status Expect(TransferId transfer, const TicketExpectation& expectation);

  // The request is over for this worker: revokes a claim with `reason`. Unknown tickets are fine.
  void Forget(Ticket ticket, Reason reason);

  // The claimant may start; it calls Unclaim or Finish when it has ended. Fails with
  //   STALE_EPOCH        not the current epoch, claimed before in it, or not expected at all;
  //   WORKER_MISMATCH    the plan is not the expected one;
  //   TRANSFER_DEADLINE  too late.
  absl::StatusOr<TicketExpectation> Claim(TransferId transfer, const TransferPlan& plan,
                                          TicketClaimant& claimant, absl::Time now);
  // Nothing was done (no room): the same epoch may be claimed again.
  void Unclaim(TransferId transfer);
  // The transfer has ended, well or not: this epoch cannot be claimed any more.
  void Finish(TransferId transfer);

  // Drops entries whose deadline has passed. Claims are left to their claimants' own deadlines.
  void OnTick(absl::Time now);
  absl::Time NextDeadline() const;

  int size() const { return static_cast<int>(entries_.size()); }

 private:
  enum class State { kExpected, kClaimed, kEnded };
  struct Entry {
    RequestEpoch epoch;
    TicketExpectation expectation;
    State state = State::kExpected;
    TicketClaimant* claimant = nullptr;  // while kClaimed
  };

  Entry* FindClaimed(TransferId transfer);
  void Revoke(Ticket ticket, Entry& entry, const absl::Status& why);

  const int tickets_max_;
  const std::function<void(TransferId)> on_expired_;
  std::map<Ticket, Entry> entries_;
};

}  // namespace cleave
