#include "runtime/link/receiver_links.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/link/link_error.h"

namespace cleave {

// One stream. It stands between its receiver and the engine to remember who asked.
struct ReceiverLinks::Session final : ReceiverListener {
  Session(ReceiverLinks& links, std::unique_ptr<ReceiverTransport> stream)
      : owner(links),
        transport(std::move(stream)),
        receiver(links.options_.identity, links.options_.incarnation, links.options_.shape,
                 links.options_.limits, links.tickets_, links.registry_, *transport, *this,
                 links.clock_, links.observer_) {}

  void ReservePages(TransferId transfer, const TransferPlan& plan) override {
    // The engine still owes an answer for this very id to another session: a ticket that was
    // forgotten and expected again.
    if (!owner.reserving_.emplace(transfer, &receiver).second) {
      return receiver.OnReserved(transfer,
                                 LinkError(Reason::kStaleEpoch, "the ticket was claimed before"));
    }
    owner.listener_.ReservePages(transfer, plan);
  }
  void OnCommitted(TransferId transfer, CommitPayload payload) override {
    owner.listener_.OnCommitted(transfer, std::move(payload));
  }
  void OnFailed(TransferId transfer, const absl::Status& status) override {
    owner.listener_.OnFailed(transfer, status);
  }
  void OnLinkOpen(Incarnation prefill) override {
    Log(Severity::kInfo, "kvlink_accepted", {{"prefill", static_cast<uint64_t>(prefill)}});
    owner.listener_.OnLinkOpen(prefill);
  }
  void OnLinkFailed(Incarnation prefill, const absl::Status& why) override {
    const bool stopping = GetReason(why) == Reason::kDraining;
    Log(stopping ? Severity::kInfo : Severity::kWarning, "kvlink_failed",
        {{"prefill", static_cast<uint64_t>(prefill)}, {"why", std::string(why.message())}});
    owner.listener_.OnLinkFailed(prefill, why);
  }

  ReceiverLinks& owner;
  std::unique_ptr<ReceiverTransport> transport;
  KvReceiver receiver;
};

ReceiverLinks::ReceiverLinks(const ReceiverLinksOptions& options, ReceiverListener& listener,
                             TicketListener& ticket_listener, const Clock& clock,
                             LinkObserver* observer)
    : options_(options),
      listener_(listener),
      clock_(clock),
      observer_(observer),
      tickets_(options.tickets_max, [&ticket_listener](TransferId transfer) {
        ticket_listener.OnTicketExpired(transfer);
      }) {}

ReceiverLinks::~ReceiverLinks() { CHECK(sessions_.empty()); }

KvReceiver* ReceiverLinks::Accept(std::unique_ptr<ReceiverTransport> transport) {
  if (shut_down_ || static_cast<int>(sessions_.size()) >= options_.sessions_max) return nullptr;
  sessions_.push_back(std::make_unique<Session>(*this, std::move(transport)));
  KvReceiver& receiver = sessions_.back()->receiver;
  if (draining_) receiver.Drain();
  return &receiver;
}

absl::Status ReceiverLinks::Expect(TransferId transfer, const TicketExpectation& expectation) {
  return tickets_.Expect(transfer, expectation);
}

void ReceiverLinks::Forget(Ticket ticket, Reason reason) { tickets_.Forget(ticket, reason); }

void ReceiverLinks::OnReserved(TransferId transfer,
                               absl::StatusOr<std::unique_ptr<TransferDestination>> destination) {
  const auto found = reserving_.find(transfer);
  CHECK(found != reserving_.end());
  KvReceiver* receiver = found->second;
  reserving_.erase(found);
  receiver->OnReserved(transfer, std::move(destination));
  Sweep();
}

void ReceiverLinks::Drain() {
  draining_ = true;
  for (const auto& session : sessions_) session->receiver.Drain();
}

void ReceiverLinks::Shutdown() {
  shut_down_ = true;
  for (const auto& session : sessions_) {
    session->receiver.Fail(LinkError(Reason::kDraining, "the decode worker is stopping"));
  }
  Sweep();
}

void ReceiverLinks::OnTick() {
  for (const auto& session : sessions_) session->receiver.OnTick();
  if (tickets_.NextDeadline() <= clock_.Now()) tickets_.OnTick(clock_.Now());
  Sweep();
  if (observer_ != nullptr) observer_->OnFigures(figures());
}

absl::Time ReceiverLinks::NextDeadline() const {
  absl::Time next = tickets_.NextDeadline();
  for (const auto& session : sessions_) next = std::min(next, session->receiver.NextDeadline());
  return next;
}

// Destroys sessions that have ended, here and not in their own calls.
void ReceiverLinks::Sweep() {
  const auto ended = [this](const std::unique_ptr<Session>& session) {
    if (!session->receiver.done()) return false;
    ended_ += session->receiver.counters();
    return true;
  };
  sessions_.erase(std::remove_if(sessions_.begin(), sessions_.end(), ended), sessions_.end());
}

LinkFigures ReceiverLinks::figures() const {
  LinkFigures figures{.counters = ended_};
  for (const auto& session : sessions_) {
    figures.counters += session->receiver.counters();
    if (session->receiver.open()) ++figures.links_open;
    if (session->receiver.close_overdue()) ++figures.links_overdue;
  }
  return figures;
}

}  // namespace cleave
