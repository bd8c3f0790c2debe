#include "runtime/link/ticket_table.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/planted_bug.h"
#include "runtime/base/status.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

std::string Describe(const TransferPlan& plan) {
  return absl::StrCat(plan.full_pages, " full pages, sliding pages ", plan.first_sliding_page, "+",
                      plan.sliding_pages, ", ", plan.total_bytes, " bytes");
}

}  // namespace

TicketTable::TicketTable(int tickets_max, std::function<void(TransferId)> on_expired)
    : tickets_max_(tickets_max), on_expired_(std::move(on_expired)) {}

absl::Status TicketTable::Expect(TransferId transfer, const TicketExpectation& expectation) {
  const auto found = entries_.find(transfer.ticket);
  if (found == entries_.end()) {
    if (size() >= tickets_max_) {
      return LinkError(Reason::kQueueFull,
                       absl::StrCat("all ", tickets_max_, " tickets of this worker are in use"));
    }
    entries_.emplace(transfer.ticket, Entry{transfer.epoch, expectation});
    return absl::OkStatus();
  }
  if (transfer.epoch <= found->second.epoch) {
    return LinkError(Reason::kStaleEpoch, "the ticket is known in this or a newer epoch");
  }
  Revoke(transfer.ticket, found->second,
         LinkError(Reason::kStaleEpoch, "a newer attempt at the request has begun"));
  found->second = Entry{transfer.epoch, expectation};
  return absl::OkStatus();
}

void TicketTable::Forget(Ticket ticket, Reason reason) {
  const auto found = entries_.find(ticket);
  if (found == entries_.end()) return;
  Revoke(ticket, found->second, LinkError(reason, "the decode worker has dropped the request"));
  entries_.erase(found);
}

absl::StatusOr<TicketExpectation> TicketTable::Claim(TransferId transfer, const TransferPlan& plan,
                                                     TicketClaimant& claimant, absl::Time now) {
  const auto found = entries_.find(transfer.ticket);
  if (found == entries_.end()) return LinkError(Reason::kStaleEpoch, "the ticket is not expected");
  Entry& entry = found->second;
  if (transfer.epoch != entry.epoch && !Planted(Bug::kStaleEpochClaims)) {
    return LinkError(Reason::kStaleEpoch, "another epoch of the ticket is expected");
  }
  if (entry.state != State::kExpected) {
    return LinkError(Reason::kStaleEpoch, "the ticket was claimed before in this epoch");
  }
  if (now >= entry.expectation.deadline) {
    return LinkError(Reason::kTransferDeadline, "the request's deadline has passed");
  }
  if (plan != entry.expectation.plan) {
    return MismatchError("plan", Describe(entry.expectation.plan), Describe(plan));
  }
  entry.state = State::kClaimed;
  entry.claimant = &claimant;
  return entry.expectation;
}

void TicketTable::Unclaim(TransferId transfer) {
  Entry* entry = FindClaimed(transfer);
  if (entry == nullptr) return;
  entry->state = State::kExpected;
  entry->claimant = nullptr;
}

void TicketTable::Finish(TransferId transfer) {
  Entry* entry = FindClaimed(transfer);
  if (entry == nullptr) return;
  entry->state = State::kEnded;
  entry->claimant = nullptr;
}

void TicketTable::OnTick(absl::Time now) {
  std::vector<TransferId> expired;
  for (auto at = entries_.begin(); at != entries_.end();) {
    const Entry& entry = at->second;
    if (entry.state == State::kClaimed || now < entry.expectation.deadline) {
      ++at;
      continue;
    }
    if (entry.state == State::kExpected) expired.push_back({at->first, entry.epoch});
    at = entries_.erase(at);
  }
  for (const TransferId transfer : expired) on_expired_(transfer);
}

absl::Time TicketTable::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [ticket, entry] : entries_) {
    if (entry.state != State::kClaimed) next = std::min(next, entry.expectation.deadline);
  }
  return next;
}

TicketTable::Entry* TicketTable::FindClaimed(TransferId transfer) {
  const auto found = entries_.find(transfer.ticket);
  if (found == entries_.end() || found->second.epoch != transfer.epoch ||
      found->second.state != State::kClaimed) {
    return nullptr;
  }
  return &found->second;
}

void TicketTable::Revoke(Ticket ticket, Entry& entry, const absl::Status& why) {
  TicketClaimant* claimant = std::exchange(entry.claimant, nullptr);
  if (entry.state != State::kClaimed) return;
  entry.state = State::kEnded;
  claimant->OnTicketRevoked({ticket, entry.epoch}, why);
}

}  // namespace cleave
