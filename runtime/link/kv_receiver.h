// The decode worker's half of a KV link.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/base/clock.h"
#include "runtime/link/link_limits.h"
#include "runtime/link/link_messages.h"
#include "runtime/link/link_registry.h"
#include "runtime/link/ticket_table.h"
#include "runtime/link/transfer_plan.h"

namespace cleave {

// The mover, as the receiver sees it. All calls come from the link thread and return at once; their
// answers come later, never from within the call.
class ReceiverTransport {
 public:
  virtual ~ReceiverTransport() = default;
  // Queues a message behind everything sent before it.
  virtual void Send(DecodeToPrefill message) = 0;
  // Ends the session. Answered by KvReceiver::OnTransportClosed.
  virtual void Close(const absl::Status& why) = 0;
};

// The pages reserved for one transfer, as memory. The engine makes it, over pages that stay pinned
// until it hears OnCommitted or OnFailed; only the link thread uses it, and only until then.
class TransferDestination {
 public:
  virtual ~TransferDestination() = default;
  // The range of one layer of one page, KvShape::page_bytes(pool) long. `page` is an ordinal that
  // the plan contains.
  virtual absl::Span<uint8_t> PageLayer(PoolKind pool, int64_t layer, int64_t page) = 0;
};

// What the engine hears. Called on the link thread; must not block: it posts to the engine.
class ReceiverListener {
 public:
  virtual ~ReceiverListener() = default;
  // Reserve and pin all pages of the plan, or none, and answer once with KvReceiver::OnReserved,
  // at once or later. If the answer is a destination, exactly one OnCommitted or OnFailed follows;
  // if it is an error, nothing does.
  virtual void ReservePages(TransferId transfer, const TransferPlan& plan) = 0;
  // Every page is filled and checked; the sequence may join the next step.
  virtual void OnCommitted(TransferId transfer, CommitPayload payload) = 0;
  // Nothing will be written any more: unpin and release.
  virtual void OnFailed(TransferId transfer, const absl::Status& status) = 0;
  virtual void OnLinkOpen(Incarnation prefill) = 0;
  // Once, if OnLinkOpen came.
  virtual void OnLinkFailed(Incarnation prefill, const absl::Status& why) = 0;
};

// One session from one prefill worker. Nothing a peer sends touches a page before it has been
// checked against what the gateway announced (TicketTable) and what was granted. A plain state
// machine: no thread, no socket; the link thread owns it and calls everything here.
class KvReceiver final : public TicketClaimant, public OpenedLink {
 public:
  // Everything by reference outlives the receiver; `observer` may be null. `own.nccl_version` is
  // empty when this worker has no NCCL mover.
  KvReceiver(const LinkIdentity& own, Incarnation incarnation, const KvShape& shape,
             const LinkLimits& limits, TicketTable& tickets, LinkRegistry& registry,
             ReceiverTransport& transport, ReceiverListener& listener, const Clock& clock,
             LinkObserver* observer = nullptr);
  ~KvReceiver();
  KvReceiver(const KvReceiver&) = delete;
  KvReceiver& operator=(const KvReceiver&) = delete;

  // From the transport, in the order sent. `bytes` is only read during the call: the one copy from
  // the message into the pages happens here, on the link thread.
  void OnMessage(PrefillToDecode message);
  void OnFrame(const FrameHeader& header, absl::Span<const uint8_t> bytes);
  void OnTransportClosed(const absl::Status& why);

  // From the engine: the answer to ReservePages. May come after the transfer has ended.
  void OnReserved(TransferId transfer,
                  absl::StatusOr<std::unique_ptr<TransferDestination>> destination);
  // Refuses new claims with DRAINING; transfers under way go on.
  void Drain() { draining_ = true; }
  // Ends the link and all its transfers.
  void Fail(const absl::Status& why);

  // Acts on every wait whose time is up. To be called at NextDeadline(), or earlier.
  void OnTick();
  absl::Time NextDeadline() const;

  // Closed, and the engine has answered every ReservePages: may be destroyed.
  bool done() const { return state_ == State::kClosed && transfers_.empty(); }
  bool open() const { return state_ == State::kOpen; }
  // The transport has not closed within limits.close.
  bool close_overdue() const;
  int num_transfers() const { return static_cast<int>(transfers_.size()); }
  const LinkCounters& counters() const { return counters_; }

  // TicketClaimant, OpenedLink
  void OnTicketRevoked(TransferId transfer, const absl::Status& why) override;
  void OnSuperseded() override;

 private:
  enum class State { kOpening, kOpen, kClosing, kClosed };
  enum class Phase {
    kReserving,  // waits for the engine's pages
    kReceiving,  // granted
    kDoomed,     // ended while the engine was reserving; waits for its answer
  };

  struct Transfer {
    TransferId id;
    TicketExpectation expectation;
    Phase phase = Phase::kReserving;
    absl::Time claimed;
    absl::Time granted;
    absl::Time leased_until;
    std::unique_ptr<TransferDestination> destination;  // while kReceiving
    std::optional<FrameCoverage> coverage;
    FrameChecksum checksum;
    int64_t frames = 0;
    int64_t bytes = 0;
    absl::Status end_status;  // while kDoomed
  };

  void Handle(OpenLink& open);
  void Handle(Claim& claim);
  void Handle(FrameAnnounce& announce);
  void Handle(Commit& commit);
  void Handle(Abort& abort);
  void Handle(Keepalive& keepalive);

  absl::StatusOr<LinkAccepted> AcceptLink(const OpenLink& open);
  void RefuseClaim(TransferId transfer, const absl::Status& why);
  absl::Status CheckFrame(Transfer& transfer, const FrameHeader& header,
                          absl::Span<const uint8_t> bytes);
  void WriteFrame(Transfer& transfer, const FrameHeader& header, absl::Span<const uint8_t> bytes);
  absl::Status CheckCommit(const Transfer& transfer, const Commit& commit) const;
  Transfer* Find(TransferId transfer);  // null when unknown or doomed
  void End(Transfer& transfer, const absl::Status& status, bool tell_peer);
  void EndAll(const absl::Status& status);
  void LeaveRegistry(const absl::Status& why);

  const LinkIdentity own_;
  const Incarnation incarnation_;
  const KvShape shape_;
  const LinkLimits limits_;
  TicketTable& tickets_;
  LinkRegistry& registry_;
  ReceiverTransport& transport_;
  ReceiverListener& listener_;
  const Clock& clock_;
  LinkObserver* const observer_;

  State state_ = State::kOpening;
  absl::Time state_since_;
  bool draining_ = false;
  std::optional<Incarnation> prefill_;  // once accepted, until the link fails
  bool checksums_ = true;               // as the prefill worker said
  absl::Time last_heard_;
  absl::Time next_keepalive_ = absl::InfiniteFuture();
  std::map<TransferId, Transfer> transfers_;
  LinkCounters counters_;
};

}  // namespace cleave
