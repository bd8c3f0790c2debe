// Both halves of the KV link against a peer that says anything. The bytes choose one message after
// another and its numbers; what must hold is what the engine is promised: every reservation ends
// exactly once, every Begin and every frame too, and nothing outside the plan is touched.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/link/kv_receiver.h"
#include "runtime/link/kv_sender.h"

namespace cleave {
namespace {

constexpr KvShape kShape = {.page_tokens = 4,
                            .window = 9,
                            .full_layers = 1,
                            .sliding_layers = 2,
                            .full_page_bytes = 8,
                            .sliding_page_bytes = 4};

// The input as a stream of choices; zeros after its end.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return at_ >= size_; }
  uint8_t Byte() { return empty() ? 0 : data_[at_++]; }
  int Below(int n) { return Byte() % n; }
  // Mostly small numbers, sometimes extreme ones.
  int64_t Number() {
    static constexpr int64_t kExtremes[] = {-1,       INT64_MAX,  INT64_MIN,       int64_t{1} << 32,
                                            1u << 31, 0xffffffff, int64_t{1} << 62};
    const uint8_t byte = Byte();
    return byte < 240 ? byte % 24 : kExtremes[byte % 7];
  }
  TransferId Id() { return {Ticket{1u + Byte() % 3}, RequestEpoch{1u + Byte() % 3}}; }
  Reason AnyReason() { return static_cast<Reason>(Below(static_cast<int>(kReasonCount))); }
  FrameHeader Header() {
    FrameHeader header;
    header.transfer = Id();
    header.sequence_number = static_cast<uint32_t>(Number());
    header.pool = static_cast<PoolKind>(Below(3));
    header.layer = Number();
    header.first_page = Number();
    header.page_count = Number();
    header.bytes = Byte() % 4 == 0 ? Number() : header.page_count % 64 * (Byte() % 2 ? 8 : 4);
    return header;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

// --- a decode worker, hostile prefill worker ---

class Decode final : public ReceiverTransport, public ReceiverListener {
 public:
  explicit Decode(Choices& choices) : choices_(choices) { receiver_.OnMessage(Hello()); }
  ~Decode() override {
    if (!closed_) receiver_.OnTransportClosed(absl::UnavailableError("over"));
    while (!reserving_.empty()) Answer();
    CHECK(receiver_.done() && reserved_.empty());
  }

  void Step() {
    switch (choices_.Below(12)) {
      case 0:
        tickets_.Expect(choices_.Id(), Expectation()).IgnoreError();
        return;
      case 1:
        return tickets_.Forget(choices_.Id().ticket, choices_.AnyReason());
      case 2:
        if (!reserving_.empty()) Answer();
        return;
      case 3:
        clock_.Advance(absl::Milliseconds(choices_.Byte() * 10));
        receiver_.OnTick();
        tickets_.OnTick(clock_.Now());
        return;
      case 4:
        return Hear(Hello());
      case 5:
      case 6:
        return Hear(Claim{choices_.Id(), choices_.Below(8) == 0 ? AnyPlan() : Expectation().plan});
      case 7:
        return Hear(AnyCommit());
      case 8:
        return Hear(Abort{choices_.Id(), choices_.AnyReason(), ""});
      case 9:
        return choices_.Below(16) == 0 ? Hear(FrameAnnounce{choices_.Header()})
                                       : Hear(Keepalive{{choices_.Id(), choices_.Id()}});
      default:
        return HearFrame();
    }
  }

  void Send(DecodeToPrefill) override {}
  void Close(const absl::Status&) override { closing_ = true; }
  void ReservePages(TransferId transfer, const TransferPlan& plan) override {
    CHECK(plan == Expectation().plan);
    CHECK(reserving_.insert(transfer).second);
  }
  void OnCommitted(TransferId transfer, CommitPayload) override {
    CHECK(reserved_.erase(transfer) == 1);
  }
  void OnFailed(TransferId transfer, const absl::Status& status) override {
    CHECK(!status.ok() && GetReason(status) != Reason::kUnspecified);
    CHECK(reserved_.erase(transfer) == 1);
  }
  void OnLinkOpen(Incarnation) override {}
  void OnLinkFailed(Incarnation, const absl::Status&) override {}

 private:
  // Memory of exactly the plan's pages: an address outside it is a sanitizer's to find.
  class Destination final : public TransferDestination {
   public:
    absl::Span<uint8_t> PageLayer(PoolKind pool, int64_t layer, int64_t page) override {
      CHECK(layer >= 0 && layer < kShape.layers(pool));
      CHECK(page >= (pool == PoolKind::kFull ? 0 : 2) && page < 4);
      bytes_.resize(static_cast<size_t>(kShape.page_bytes(pool)));
      return absl::MakeSpan(bytes_);
    }

   private:
    std::vector<uint8_t> bytes_;
  };

  static LinkIdentity Identity() {
    return {.layout_hash = "l", .build = "b", .model_id = "m", .numerics_fingerprint = "n"};
  }
  OpenLink Hello() {
    return {
        Identity(), Incarnation{choices_.Byte()}, LinkEpoch{choices_.Byte()}, {MoverKind::kGrpc}};
  }
  TicketExpectation Expectation() {
    return {.plan = MakeTransferPlan(kShape, 16),
            .num_positions = 16,
            .deadline = clock_.Now() + absl::Seconds(9)};
  }
  TransferPlan AnyPlan() {
    return {choices_.Number(), choices_.Number(), choices_.Number(), choices_.Number()};
  }
  // Often what an honest peer would say of the frames it has sent.
  Commit AnyCommit() {
    const TransferId id = choices_.Id();
    Commit commit{.transfer = id, .frames = choices_.Number(), .bytes = choices_.Number()};
    commit.payload.first_tokens.resize(static_cast<size_t>(choices_.Below(3)));
    commit.payload.num_positions = choices_.Number();
    if (choices_.Below(2) != 0) return commit;
    const Sent& sent = sent_[id];
    commit.frames = sent.frames;
    commit.bytes = sent.bytes;
    commit.checksum = sent.checksum.value();
    commit.payload = {.first_tokens = {{}}, .last_hidden_state = "", .num_positions = 16};
    return commit;
  }
  void Hear(PrefillToDecode message) {
    if (!closed_) receiver_.OnMessage(std::move(message));
    CloseIfAsked();
  }
  void HearFrame() {
    const FrameHeader header = choices_.Header();
    const auto size = static_cast<size_t>(std::clamp<int64_t>(header.bytes, 0, 512));
    const std::vector<uint8_t> bytes(choices_.Below(16) == 0 ? size / 2 : size, choices_.Byte());
    Sent& sent = sent_[header.transfer];
    ++sent.frames;
    sent.bytes += static_cast<int64_t>(bytes.size());
    sent.checksum.AddHeader(header);
    sent.checksum.AddBytes(bytes);
    if (!closed_) receiver_.OnFrame(header, bytes);
    CloseIfAsked();
  }
  void CloseIfAsked() {
    if (!closing_ || std::exchange(closed_, true)) return;
    receiver_.OnTransportClosed(absl::UnavailableError("closed"));
  }
  void Answer() {
    const TransferId transfer = *reserving_.begin();
    reserving_.erase(reserving_.begin());
    if (choices_.Below(4) == 0) {
      return receiver_.OnReserved(transfer, absl::ResourceExhaustedError("full"));
    }
    CHECK(reserved_.insert(transfer).second);
    receiver_.OnReserved(transfer, std::make_unique<Destination>());
  }

  struct Sent {
    int64_t frames = 0;
    int64_t bytes = 0;
    FrameChecksum checksum;
  };

  Choices& choices_;
  SimulatedClock clock_;
  LinkLimits limits_;
  std::map<TransferId, Sent> sent_;
  TicketTable tickets_{4, [](TransferId) {}};
  LinkRegistry registry_;
  std::set<TransferId> reserving_, reserved_;
  bool closing_ = false, closed_ = false;
  KvReceiver receiver_{Identity(), Incarnation{2}, kShape, limits_, tickets_,
                       registry_,  *this,          *this,  clock_};
};

// --- a prefill worker, hostile decode worker ---

class Prefill final : public SenderTransport, public SenderListener {
 public:
  explicit Prefill(Choices& choices) : choices_(choices) { sender_.Open(); }
  ~Prefill() override {
    sender_.Fail(absl::CancelledError("over"));
    CloseIfAsked();
    CHECK(sender_.done() && live_.empty() && unreleased_ == 0);
  }

  void Step() {
    const TransferId id = choices_.Id();
    switch (choices_.Below(14)) {
      case 0:
        return Begin(id);
      case 1:
      case 2:
        return Queue(id);
      case 3:
        if (committed_.insert(id).second) sender_.Commit(id, {});
        return;
      case 4:
        return sender_.Cancel(id, Reason::kCancelled);
      case 5:
        return Move();
      case 6:
        clock_.Advance(absl::Milliseconds(choices_.Byte() * 10));
        return sender_.OnTick();
      case 7:
        return Hear(OpenLinkReply{LinkAccepted{Incarnation{3}, MoverKind::kGrpc,
                                               choices_.Below(4) ? 64 : choices_.Number()}});
      case 8:
        return Hear(Grant{id, choices_.Number()});
      case 9:
        return Hear(Refuse{id, choices_.AnyReason(), "", absl::Milliseconds(choices_.Number())});
      case 10:
        return Hear(Credit{id, choices_.Number()});
      case 11:
        if (choices_.Below(8) == 0 || in_flight_.empty()) {
          return Hear(Received{id, static_cast<uint32_t>(choices_.Number())});
        }
        Hear(Received{in_flight_.front().transfer, in_flight_.front().sequence_number});
        return in_flight_.erase(in_flight_.begin()), void();
      case 12:
        return choices_.Below(2) ? Hear(CommitReply{id, choices_.AnyReason(), ""})
                                 : Hear(Abort{id, choices_.AnyReason(), ""});
      default:
        return Hear(Keepalive{{id}});
    }
  }

  void Send(PrefillToDecode) override {}
  void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) override {
    int64_t bytes = 0;
    for (const PageBytes page : pages) bytes += static_cast<int64_t>(page.size());
    CHECK(bytes == header.bytes && live_.contains(header.transfer));
    at_mover_.push_back(header);
    in_flight_.push_back(header);
  }
  void Close(const absl::Status&) override { closing_ = true; }
  void OnGranted(TransferId) override {}
  void OnRefused(TransferId, const absl::Status&) override {}
  void OnFinished(TransferId transfer, const absl::Status& status) override {
    CHECK(status.ok() || GetReason(status) != Reason::kUnspecified);
    CHECK(live_.erase(transfer) == 1);
  }
  void OnLinkOpen(const LinkAccepted&) override {}
  void OnLinkFailed(const absl::Status&) override {}

 private:
  void Begin(TransferId id) {
    if (!begun_.insert(id).second) return;
    live_.insert(id);
    sender_.Begin({id, MakeTransferPlan(kShape, 16), clock_.Now() + absl::Seconds(9)});
  }
  void Queue(TransferId id) {
    if (committed_.contains(id)) return;
    static constexpr uint8_t kMemory[8] = {};
    const PoolKind pool = choices_.Below(2) ? PoolKind::kFull : PoolKind::kSliding;
    const int64_t count = 1 + choices_.Below(2);
    const std::vector<PageBytes> pages(
        static_cast<size_t>(count),
        PageBytes(kMemory, static_cast<size_t>(kShape.page_bytes(pool))));
    ++unreleased_;
    sender_.QueueFrame(id, {pool, 0, 2, count}, pages, [this] { --unreleased_; });
  }
  void Move() {
    if (at_mover_.empty() || closed_) return;
    const FrameHeader header = at_mover_.front();
    at_mover_.erase(at_mover_.begin());
    sender_.OnFrameMoved(header.transfer, header.sequence_number);
  }
  void Hear(DecodeToPrefill message) {
    if (!closed_) sender_.OnMessage(std::move(message));
    if (choices_.Below(4) == 0) CloseIfAsked();
  }
  void CloseIfAsked() {
    if (!closing_ || closed_) return;
    while (!at_mover_.empty()) Move();
    closed_ = true;
    sender_.OnTransportClosed(absl::UnavailableError("closed"));
  }

  Choices& choices_;
  SimulatedClock clock_;
  std::set<TransferId> begun_, live_, committed_;
  std::vector<FrameHeader> at_mover_, in_flight_;
  int unreleased_ = 0;
  bool closing_ = false, closed_ = false;
  KvSender sender_{LinkIdentity(), Incarnation{1}, LinkEpoch{1}, {MoverKind::kGrpc},
                   kShape,         LinkLimits(),   *this,        *this,
                   clock_};
};

}  // namespace
}  // namespace cleave

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cleave::Choices choices(data, size);
  if (choices.Byte() % 2 == 0) {
    cleave::Decode decode(choices);
    while (!choices.empty()) decode.Step();
  } else {
    cleave::Prefill prefill(choices);
    while (!choices.empty()) prefill.Step();
  }
  return 0;
}
