// The prefill worker's half of a KV link.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/base/clock.h"
#include "runtime/link/link_limits.h"
#include "runtime/link/link_messages.h"
#include "runtime/link/transfer_plan.h"

namespace cleave {

using PageBytes = absl::Span<const uint8_t>;

// The mover, as the sender sees it. All calls come from the link thread and return at once; their
// answers come later, never from within the call.
class SenderTransport {
 public:
  virtual ~SenderTransport() = default;
  // Queues a message behind everything sent before it.
  virtual void Send(PrefillToDecode message) = 0;
  // Queues a frame likewise; `pages` are the parts of its bytes. Their memory belongs to the mover
  // until it answers with KvSender::OnFrameMoved, which it does for every frame, in order, whether
  // the frame arrived or not.
  virtual void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) = 0;
  // Ends the session without waiting for what is queued. Answered, after the last OnFrameMoved, by
  // KvSender::OnTransportClosed.
  virtual void Close(const absl::Status& why) = 0;
};

// What the engine hears. Called on the link thread; must not call back into the sender but post.
class SenderListener {
 public:
  virtual ~SenderListener() = default;
  // Pages are reserved at the decode worker; frames flow.
  virtual void OnGranted(TransferId transfer) = 0;
  // The decode worker has no room now. The sender claims again by itself, within the grant limit.
  virtual void OnRefused(TransferId transfer, const absl::Status& why) = 0;
  // The end, exactly once for each Begin, after the release callbacks of all frames queued so far;
  // one that is queued later, because this call and that one cross, is released at once. OK: the
  // decode worker has taken over. WORKER_LOST may come although it has: its reply may be what was
  // lost.
  virtual void OnFinished(TransferId transfer, const absl::Status& status) = 0;
  virtual void OnLinkOpen(const LinkAccepted& accepted) = 0;
  // No new transfer can begin on this link. Once; those under way finish by themselves.
  virtual void OnLinkFailed(const absl::Status& why) = 0;
};

struct TransferSpec {
  TransferId id;
  TransferPlan plan;
  absl::Time deadline = absl::InfiniteFuture();  // the session deadline
};

// One session with one decode worker: opens the link, then moves any number of transfers, their
// frames taking turns so that a short prompt does not wait for a long one. A plain state machine:
// no thread, no socket; the link thread owns it and calls everything here.
//
// A transfer: Begin, QueueFrame for each slice of the plan in whatever order they are computed,
// Commit; or Cancel at any time. Calls about a transfer that has ended are harmless: frames are
// released at once, the rest is ignored.
class KvSender {
 public:
  // `own` and `incarnation` tell the decode worker who this is. Everything by reference outlives
  // the sender; `observer` may be null.
  KvSender(const LinkIdentity& own, Incarnation incarnation, LinkEpoch epoch,
           std::vector<MoverKind> movers, const KvShape& shape, const LinkLimits& limits,
           SenderTransport& transport, SenderListener& listener, const Clock& clock,
           LinkObserver* observer = nullptr);
  ~KvSender();
  KvSender(const KvSender&) = delete;
  KvSender& operator=(const KvSender&) = delete;

  // Sends the first message. Once, before anything else.
  void Open();

  // Claims the pages as soon as the link is open. The id is new to this sender.
  void Begin(const TransferSpec& spec);
  // `pages` has one range for each page of the slice. The memory belongs to the link until
  // `release` is called, exactly once, whatever happens. The slice is cut into frames as needed.
  void QueueFrame(TransferId transfer, const FrameSlice& slice, std::vector<PageBytes> pages,
                  std::function<void()> release);
  // All frames of the plan are queued. Sent behind the last of them.
  void Commit(TransferId transfer, CommitPayload payload);
  // Ends the transfer with `reason`. Not a promise that memory is free: OnFinished is.
  void Cancel(TransferId transfer, Reason reason);
  // Ends the link and all its transfers.
  void Fail(const absl::Status& why);

  // From the transport.
  void OnMessage(DecodeToPrefill message);
  void OnFrameMoved(TransferId transfer, uint32_t sequence_number);
  void OnTransportClosed(const absl::Status& why);

  // Acts on every wait whose time is up. To be called at NextDeadline(), or earlier.
  void OnTick();
  absl::Time NextDeadline() const;

  bool open() const { return state_ == State::kOpen; }
  // Takes new transfers (they wait while it opens).
  bool usable() const { return state_ <= State::kOpen; }
  // Closed, with nothing left: may be destroyed.
  bool done() const { return state_ == State::kClosed; }
  // The transport has taken longer than limits.close to give its memory back.
  bool close_overdue() const;
  int num_transfers() const { return static_cast<int>(transfers_.size()); }
  const LinkCounters& counters() const { return counters_; }
  const TransferRate& rate() const { return rate_; }

 private:
  enum class State { kNew, kOpening, kOpen, kClosing, kClosed };
  enum class Phase {
    kUnclaimed,  // waits for the link, or to repeat its claim
    kClaimed,    // waits for Grant or Refuse
    kGranted,    // frames flow
    kCommitted,  // waits for CommitReply
    kEnding,     // has its status; waits for the mover to give memory back
  };

  // A slice on its way. It may take several frames.
  struct Slice {
    FrameSlice slice;
    std::vector<PageBytes> pages;
    std::function<void()> release;
    size_t pages_sent = 0;
    int frames_in_mover = 0;
  };

  struct FrameInMover {
    Slice* slice;
    int64_t bytes;
  };

  struct Transfer {
    TransferSpec spec;
    Phase phase = Phase::kUnclaimed;
    absl::Time claim_at = absl::InfinitePast();
    absl::Time first_claimed = absl::InfiniteFuture();
    absl::Time granted = absl::InfiniteFuture();
    absl::Time leased_until = absl::InfiniteFuture();
    int64_t credits = 0;
    std::list<Slice> slices;
    std::map<uint32_t, FrameInMover> in_mover;  // by sequence number
    int64_t frames = 0;
    int64_t bytes = 0;
    FrameChecksum checksum;
    std::optional<CommitPayload> commit;
    absl::Status end_status;  // while kEnding
  };

  // A frame that the decode worker has not acknowledged.
  struct InFlight {
    TransferId transfer;
    uint32_t sequence_number;
    int64_t bytes;
  };

  void Handle(const OpenLinkReply& reply);
  void Handle(const Grant& grant);
  void Handle(const Refuse& refuse);
  void Handle(const Credit& credit);
  void Handle(const Received& received);
  void Handle(const CommitReply& reply);
  void Handle(const Abort& abort);
  void Handle(const Keepalive& keepalive);

  Transfer* Find(TransferId transfer);                 // null when unknown or ending
  Transfer* FindIn(TransferId transfer, Phase phase);  // null in other phases; counts as ignored
  void SendClaim(Transfer& transfer);
  void Pump();
  Transfer* NextToSend();
  static Slice* UnsentSlice(Transfer& transfer);  // null when all pages are with the mover or moved
  void SendFrame(Transfer& transfer);
  void SendCommitIfReady(Transfer& transfer);
  void SendKeepalive();
  void End(Transfer& transfer, const absl::Status& status, bool tell_peer);
  void FinishIfQuiet(Transfer& transfer);
  void EndAll(const absl::Status& status);
  void TickTransfer(Transfer& transfer, absl::Time now);
  absl::Time DeadlineOf(const Transfer& transfer) const;
  absl::Time FrameDeadline() const;

  const LinkIdentity own_;
  const Incarnation incarnation_;
  const LinkEpoch epoch_;
  const std::vector<MoverKind> movers_;
  const KvShape shape_;
  const LinkLimits limits_;
  SenderTransport& transport_;
  SenderListener& listener_;
  const Clock& clock_;
  LinkObserver* const observer_;

  State state_ = State::kNew;
  absl::Time state_since_;
  absl::Time last_heard_;
  absl::Time next_keepalive_ = absl::InfiniteFuture();
  int64_t frame_bytes_max_ = 0;
  std::map<TransferId, Transfer> transfers_;
  TransferId last_turn_;            // whose frame went last
  int64_t mover_bytes_ = 0;         // of frames with the mover
  std::deque<InFlight> in_flight_;  // in the order sent
  absl::Time head_since_;           // when in_flight_'s first became the first
  TransferRate rate_;
  LinkCounters counters_;
};

}  // namespace cleave
