// Prefill workers, one decode worker and the gateway that pairs them, on a virtual clock, with a
// network between them that does what networks do. Everything a walk decides comes from its seed.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/kv/page_allocator.h"
#include "runtime/link/kv_receiver.h"
#include "runtime/link/kv_sender.h"
#include "tests/runtime/random_walk.h"

namespace cleave::simulation {

enum class Fault {
  kCut,            // the stream breaks; each end hears of it in its own time
  kBlackHole,      // nothing arrives any more, and nobody says so
  kStall,          // a message, and all behind it, take up to seconds
  kCorruptBytes,   // a byte of a frame flips, or the frame is cut short
  kCorruptHeader,  // a number in a frame's header changes
  kRepeat,         // a message arrives twice
  kReplay,         // old messages come again, on a link of their own
  kKillPrefill,    // the process is gone; a new one takes its place
  kKillDecode,
  kZombie,    // the gateway starts a newer attempt while the old one still runs
  kCancel,    // the engine at P gives up
  kForget,    // the gateway tells D to drop the request
  kPoolFull,  // D has room for few requests
};
inline constexpr size_t kNumFaults = static_cast<size_t>(Fault::kPoolFull) + 1;

struct Tally {
  std::array<int64_t, kNumFaults> faults{};
  std::array<int64_t, kReasonCount> failures{};  // at P
  int64_t transfers = 0;
  int64_t committed = 0;
  int64_t lost_replies = 0;  // committed at D, failed at P
  int64_t frames = 0;
  int64_t links = 0;
};

// A pool with its memory. A page that is free is filled with kPoison, and must still be when it is
// given out again.
class Pool {
 public:
  static constexpr uint8_t kPoison = 0xEE;
  Pool(int num_pages, int64_t layers, int64_t page_bytes);
  PageAllocator& pages() { return pages_; }
  absl::Status Take(absl::Span<PageId> pages);
  absl::Span<uint8_t> PageLayer(PageId page, int64_t layer);
  void CheckAllFree();

 private:
  absl::Span<uint8_t> Page(PageId page);
  int64_t layers_;
  int64_t page_bytes_;
  std::vector<uint8_t> memory_;  // [num_pages, layers, page_bytes]
  PageAllocator pages_;
};

// The pages of one attempt on one side.
struct Pages {
  std::vector<PageId> full, sliding;  // in the order of the plan
  PageId At(PoolKind pool, const TransferPlan& plan, int64_t ordinal) const;
};

class World;

// A receiver with its half of the wire.
class DecodeEnd final : public ReceiverTransport, public ReceiverListener {
 public:
  DecodeEnd(World& world, std::function<void(DecodeToPrefill)> to_prefill,
            std::function<void()> on_close);
  KvReceiver& receiver() { return receiver_; }
  void Hear(PrefillToDecode message);
  void HearFrame(const FrameHeader& header, const std::vector<uint8_t>& bytes);
  void CloseTransport();  // at most once has an effect
  void AnswerReserve(TransferId transfer, const TransferPlan& plan);
  void AnswerAllReserves();
  bool HoldsPagesOf(Ticket ticket) const;
  void Check();  // counters

  void Send(DecodeToPrefill message) override { to_prefill_(std::move(message)); }
  void Close(const absl::Status&) override { on_close_(); }
  void ReservePages(TransferId transfer, const TransferPlan& plan) override;
  void OnCommitted(TransferId transfer, CommitPayload payload) override;
  void OnFailed(TransferId transfer, const absl::Status& status) override;
  void OnLinkOpen(Incarnation) override { ++opens_; }
  void OnLinkFailed(Incarnation, const absl::Status&) override { ++fails_; }

 private:
  World& world_;
  std::function<void(DecodeToPrefill)> to_prefill_;
  std::function<void()> on_close_;
  std::map<TransferId, TransferPlan> reserving_;
  std::map<TransferId, Pages> reserved_;
  int opens_ = 0, fails_ = 0;
  int64_t bytes_arrived_ = 0, frames_arrived_ = 0;
  bool closed_ = false;
  KvReceiver receiver_;
};

// One session: a sender at a prefill worker, the wire, and a receiver.
class Session final : public SenderTransport, public SenderListener {
 public:
  Session(World& world, int prefill);
  KvSender& sender() { return sender_; }
  DecodeEnd& decode() { return decode_; }
  bool over() { return sender_.done() && decode_.receiver().done(); }
  void Cut();
  void BlackHole() { black_hole_ = true; }
  void CloseSenderEnd();
  void Check();

  void Send(PrefillToDecode message) override;
  void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) override;
  void Close(const absl::Status& why) override;
  void OnGranted(TransferId) override {}
  void OnRefused(TransferId, const absl::Status&) override {}
  void OnFinished(TransferId transfer, const absl::Status& status) override;
  void OnLinkOpen(const LinkAccepted&) override {}
  void OnLinkFailed(const absl::Status&) override {}

 private:
  struct FrameOut {
    FrameHeader header;
    std::vector<PageBytes> pages;
  };
  using Outbound = std::variant<PrefillToDecode, FrameOut>;

  void ScheduleStep();
  void Step();  // one message leaves P
  void Leave(Outbound message);
  void Backward(DecodeToPrefill message);
  absl::Time ArriveAfter(absl::Time& last);

  World& world_;
  std::deque<Outbound> outbound_;
  bool step_scheduled_ = false;
  bool black_hole_ = false;
  bool sender_end_closed_ = false;
  absl::Time forward_last_, backward_last_;  // messages arrive in order
  int64_t bytes_out_ = 0, frames_out_ = 0;
  std::map<TransferId, int64_t> credits_;  // that reached P
  DecodeEnd decode_;
  KvSender sender_;
};

class World {
 public:
  World(uint64_t seed, Tally& tally);
  void Run();  // until every request has ended, all is quiet and all is checked

 private:
  friend class DecodeEnd;
  friend class Session;

  struct PrefillNode {
    PrefillNode(Incarnation id, const KvShape& shape);
    Incarnation incarnation;
    uint32_t link_epoch = 0;
    Pool full, sliding;
    Session* session = nullptr;  // the newest
  };
  struct Request {  // as the gateway sees it
    TransferId id;  // the newest attempt
    int64_t num_positions = 0;
    absl::Time deadline;
    bool committed = false;  // D says so
    bool over = false;
  };
  struct Attempt {  // as P's engine sees it
    size_t request = 0;
    int prefill = 0;
    Session* session = nullptr;
    TransferPlan plan;
    Pages pages;
    bool owned = false;
    std::vector<FrameSlice> todo;
    int slices_queued = 0, slices_released = 0;
    bool ended = false;
  };
  struct DecodeNode {
    DecodeNode(Incarnation id, const KvShape& shape, int full_pages, int sliding_pages);
    Incarnation incarnation;
    Pool full, sliding;
    TicketTable tickets;
    LinkRegistry registry;
  };

  void At(absl::Duration after, std::function<void()> what) {
    events_.emplace(clock_.Now() + after, std::move(what));
  }
  bool Happens(Fault fault, int one_in);
  absl::Duration Soon() { return absl::Microseconds(walk_.Between(50, 3000)); }
  static uint8_t Pattern(TransferId id, PoolKind pool, int64_t layer, int64_t page, size_t i);
  static CommitPayload PayloadOf(TransferId id, int64_t num_positions);

  void StartAttempt(size_t request);
  void Begin(TransferId id);
  void Continue(TransferId id);
  void QueueSlice(TransferId id, Attempt& attempt);
  void EndAttempt(TransferId id, const absl::Status& status);
  void ReleaseOwned(Attempt& attempt);
  Session* SessionOf(int prefill);
  void CheckNoPagesOf(Ticket ticket);
  void CheckSent(TransferId id, const FrameHeader& header, const std::vector<uint8_t>& bytes);
  void CheckCommitted(TransferId id, const Pages& pages, const CommitPayload& payload);

  void CauseTrouble();
  void KillPrefill(int prefill);
  void KillDecode();
  void Replay();
  void RunUntil(const std::function<bool()>& done);
  void TickAll();
  absl::Time NextDeadline();
  bool AllEnded() const;

  RandomWalk walk_;
  Tally& tally_;
  std::array<bool, kNumFaults> enabled_{};
  bool calm_ = false;  // nothing goes wrong: every request must succeed at once
  SimulatedClock clock_;
  std::multimap<absl::Time, std::function<void()>> events_;
  KvShape shape_;
  LinkLimits limits_;
  LinkIdentity identity_;
  std::vector<std::unique_ptr<PrefillNode>> prefills_;
  std::vector<std::unique_ptr<DecodeNode>> decodes_;  // the last one lives
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<DecodeEnd>> replays_;
  std::vector<Request> requests_;
  std::map<TransferId, Attempt> attempts_;
  std::set<TransferId> committed_;  // at any decode worker
  std::vector<std::pair<FrameHeader, std::vector<uint8_t>>> old_frames_;
  std::vector<PrefillToDecode> old_messages_;
};

}  // namespace cleave::simulation
