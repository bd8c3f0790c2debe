// All links of a decode worker: the sessions that prefill workers hold open to it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/link/kv_receiver.h"
#include "runtime/link/link_ticker.h"

namespace cleave {

struct ReceiverLinksOptions {
  LinkIdentity identity;
  Incarnation incarnation{};
  KvShape shape;
  LinkLimits limits;
  int tickets_max = 4096;
  int sessions_max = 256;  // prefill workers at once
};

// What the engine hears besides ReceiverListener's calls.
class TicketListener {
 public:
  virtual ~TicketListener() = default;
  // The deadline of an expected transfer passed before anybody claimed it. The ticket is gone.
  virtual void OnTicketExpired(TransferId transfer) = 0;
};

// The sessions, the tickets they all share, and who asked the engine for which pages. Not
// thread-safe: the link thread owns it. See TicketTable and KvReceiver for what the calls mean.
class ReceiverLinks final : public LinkTicker {
 public:
  // Everything outlives this; `observer` may be null.
  ReceiverLinks(const ReceiverLinksOptions& options, ReceiverListener& listener,
                TicketListener& ticket_listener, const Clock& clock,
                LinkObserver* observer = nullptr);
  ~ReceiverLinks() override;

  // From the mover: a new stream. The receiver lives until its transport has closed and its
  // transfers have ended; then it and the transport are destroyed. Null when there are too many
  // sessions or the worker stops: close the stream.
  KvReceiver* Accept(std::unique_ptr<ReceiverTransport> transport);

  // From the engine.
  absl::Status Expect(TransferId transfer, const TicketExpectation& expectation);
  void Forget(Ticket ticket, Reason reason);
  void OnReserved(TransferId transfer,
                  absl::StatusOr<std::unique_ptr<TransferDestination>> destination);
  // Refuses new claims with DRAINING; transfers under way go on.
  void Drain();
  // Ends all links and transfers, and accepts no more.
  void Shutdown();
  // After Shutdown: the engine has answered everything, and nothing is written any more.
  bool done() const override { return shut_down_ && sessions_.empty(); }

  void OnTick() override;
  absl::Time NextDeadline() const override;

  LinkFigures figures() const;

 private:
  struct Session;

  void Sweep();

  const ReceiverLinksOptions options_;
  ReceiverListener& listener_;
  const Clock& clock_;
  LinkObserver* const observer_;
  TicketTable tickets_;
  LinkRegistry registry_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::map<TransferId, KvReceiver*> reserving_;  // who waits for the engine's answer
  LinkCounters ended_;                           // of sessions that are gone
  bool draining_ = false;
  bool shut_down_ = false;
};

}  // namespace cleave
