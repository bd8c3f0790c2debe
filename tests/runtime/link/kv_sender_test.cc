#include "runtime/link/kv_sender.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/runtime/link/link_fakes.h"

namespace cleave {
namespace {

struct Durations final : LinkObserver {
  void OnFigures(const LinkFigures&) override {}
  void OnTransferSeconds(double seconds) override { transfers.push_back(seconds); }
  void OnGrantWaitSeconds(double seconds) override { grant_waits.push_back(seconds); }
  std::vector<double> transfers, grant_waits;
};

class KvSenderTest : public testing::Test {
 protected:
  ~KvSenderTest() override {
    if (!sender_.done()) {
      sender_.Fail(absl::CancelledError("the test is over"));
      MoveAll();
      sender_.OnTransportClosed(absl::CancelledError("the test is over"));
    }
    EXPECT_EQ(released_, queued_);
  }

  static LinkLimits Limits() {
    LinkLimits limits;
    limits.frame_bytes_max = 16;
    limits.frame_min = absl::Milliseconds(50);
    limits.mover_bytes_max = 1 << 20;
    return limits;
  }

  void Open() {
    sender_.Open();
    sender_.OnMessage(OpenLinkReply{LinkAccepted{Incarnation{2}, MoverKind::kGrpc, 1 << 20}});
  }
  // 16 positions: 4 full pages of 1 layer, sliding pages 2 and 3 of 2 layers; 48 bytes.
  TransferSpec Spec(uint64_t ticket) {
    return {Id(ticket), MakeTransferPlan(kSmallShape, 16), clock_.Now() + absl::Seconds(100)};
  }
  void Begin(uint64_t ticket) { sender_.Begin(Spec(ticket)); }
  void Grant(uint64_t ticket, int64_t credits) {
    sender_.OnMessage(cleave::Grant{Id(ticket), credits});
  }
  void Queue(uint64_t ticket, PoolKind pool, int64_t layer, int64_t first, int64_t count) {
    const auto bytes = static_cast<size_t>(kSmallShape.page_bytes(pool));
    std::vector<PageBytes> pages;
    for (int64_t i = 0; i < count; ++i) pages.emplace_back(memory_, bytes);
    ++queued_;
    sender_.QueueFrame(Id(ticket), {pool, layer, first, count}, pages, [this] { ++released_; });
  }
  void QueueAll(uint64_t ticket) {
    Queue(ticket, PoolKind::kFull, 0, 0, 4);
    Queue(ticket, PoolKind::kSliding, 0, 2, 2);
    Queue(ticket, PoolKind::kSliding, 1, 2, 2);
  }
  // The mover has sent everything it was given; D has not answered yet.
  void MoveAll() {
    for (; moved_ < transport_.frames.size(); ++moved_) {
      sender_.OnFrameMoved(transport_.frames[moved_].transfer,
                           transport_.frames[moved_].sequence_number);
    }
  }
  void ReceiveAll() {
    for (; received_ < transport_.frames.size(); ++received_) {
      sender_.OnMessage(Received{transport_.frames[received_].transfer,
                                 transport_.frames[received_].sequence_number});
    }
  }
  void KeepAlive(std::vector<TransferId> transfers) {
    sender_.OnMessage(Keepalive{std::move(transfers)});
  }
  // Time passes in steps, with D alive and naming `transfers`.
  void Pass(absl::Duration time, const std::vector<TransferId>& transfers) {
    for (; time > absl::ZeroDuration(); time -= absl::Milliseconds(100)) {
      clock_.Advance(absl::Milliseconds(100));
      KeepAlive(transfers);
      sender_.OnTick();
    }
  }

  SimulatedClock clock_;
  FakeSenderTransport transport_;
  FakeSenderListener listener_;
  Durations durations_;
  const uint8_t memory_[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  int queued_ = 0, released_ = 0;
  size_t moved_ = 0, received_ = 0;
  KvSender sender_{SmallIdentity(), Incarnation{1}, LinkEpoch{1}, {MoverKind::kGrpc},
                   kSmallShape,     Limits(),       transport_,   listener_,
                   clock_,          &durations_};
};

TEST_F(KvSenderTest, WholeTransfer) {
  Begin(1);
  EXPECT_TRUE(transport_.messages.empty());
  Open();
  ASSERT_TRUE(Last<Claim>(transport_.messages));
  EXPECT_EQ(Last<Claim>(transport_.messages)->plan.total_bytes, 48);
  QueueAll(1);
  sender_.Commit(Id(1), {.num_positions = 16});
  EXPECT_TRUE(transport_.frames.empty());
  clock_.Advance(absl::Milliseconds(20));
  Grant(1, 10);
  EXPECT_EQ(listener_.granted, std::vector<TransferId>{Id(1)});
  ASSERT_EQ(transport_.frames.size(), 4u);  // 4 full pages are two frames of 16 bytes
  EXPECT_EQ(transport_.frames[1].first_page, 2);
  EXPECT_EQ(transport_.frames[1].sequence_number, 1u);
  EXPECT_EQ(transport_.frames[3].layer, 1);
  ASSERT_TRUE(Last<Commit>(transport_.messages));
  EXPECT_EQ(Last<Commit>(transport_.messages)->frames, 4);
  EXPECT_EQ(Last<Commit>(transport_.messages)->bytes, 48);
  ReceiveAll();
  sender_.OnMessage(CommitReply{Id(1)});
  EXPECT_FALSE(listener_.EndOf(Id(1))) << "the mover still has its memory";
  MoveAll();
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kUnspecified);
  EXPECT_EQ(sender_.counters().bytes, 48);
  EXPECT_EQ(sender_.counters().commits, 1);
  ASSERT_EQ(durations_.grant_waits.size(), 1u);
  EXPECT_DOUBLE_EQ(durations_.grant_waits[0], 0.02);
  EXPECT_EQ(durations_.transfers, std::vector<double>{0});
}

TEST_F(KvSenderTest, RefusedLinkNamesTheField) {
  Begin(1);
  sender_.Open();
  sender_.OnMessage(
      OpenLinkReply{LinkRefused{Reason::kWorkerMismatch, "layout_hash", "theirs", "ours"}});
  EXPECT_TRUE(transport_.closed);
  ASSERT_EQ(listener_.finished.size(), 1u);
  const ErrorDetail detail = GetErrorDetail(listener_.finished[0].second).value();
  EXPECT_EQ(detail.reason, Reason::kWorkerMismatch);
  EXPECT_EQ(detail.field, "layout_hash");
  EXPECT_EQ(detail.limit, "theirs");
  EXPECT_EQ(detail.actual, "ours");
}

TEST_F(KvSenderTest, FrameLimitBelowOnePageIsAMismatch) {
  sender_.Open();
  sender_.OnMessage(OpenLinkReply{LinkAccepted{Incarnation{2}, MoverKind::kGrpc, 7}});
  ASSERT_EQ(listener_.failures.size(), 1u);
  EXPECT_EQ(GetErrorDetail(listener_.failures[0])->field, "frame_bytes_max");
}

TEST_F(KvSenderTest, LinkThatDoesNotOpenInTime) {
  Begin(1);
  sender_.Open();
  EXPECT_EQ(sender_.NextDeadline(), clock_.Now() + Limits().open);
  clock_.Advance(Limits().open);
  sender_.OnTick();
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kWorkerLost);
  EXPECT_TRUE(transport_.closed);
}

TEST_F(KvSenderTest, FramesWaitForCredit) {
  Open();
  Begin(1);
  Grant(1, 1);
  QueueAll(1);
  EXPECT_EQ(transport_.frames.size(), 1u);
  sender_.OnMessage(Credit{Id(1), 2});
  EXPECT_EQ(transport_.frames.size(), 3u);
  sender_.OnMessage(Credit{Id(1), -5});
  EXPECT_EQ(transport_.frames.size(), 3u);
}

TEST_F(KvSenderTest, TransfersTakeTurns) {
  Open();
  for (const uint64_t ticket : {1, 2}) {
    Begin(ticket);
    QueueAll(ticket);
  }
  Grant(1, 2);
  Grant(2, 2);
  sender_.OnMessage(Credit{Id(1), 1});
  sender_.OnMessage(Credit{Id(2), 1});
  std::vector<uint64_t> turns;
  for (const FrameHeader& frame : transport_.frames) {
    turns.push_back(static_cast<uint64_t>(frame.transfer.ticket));
  }
  EXPECT_EQ(turns, (std::vector<uint64_t>{1, 1, 2, 2, 1, 2}));
}

TEST_F(KvSenderTest, ShortTransferDoesNotWaitForALongOne) {
  LinkLimits limits = Limits();
  limits.mover_bytes_max = 1;  // one frame at a time
  FakeSenderTransport transport;
  KvSender sender(SmallIdentity(), Incarnation{1}, LinkEpoch{1}, {MoverKind::kGrpc}, kSmallShape,
                  limits, transport, listener_, clock_);
  sender.Open();
  sender.OnMessage(OpenLinkReply{LinkAccepted{Incarnation{2}, MoverKind::kGrpc, 8}});
  for (const uint64_t ticket : {1, 2}) {
    sender.Begin(Spec(ticket));
    sender.OnMessage(cleave::Grant{Id(ticket), 100});
    const std::vector<PageBytes> pages(ticket == 1 ? 4 : 1, PageBytes(memory_, 8));
    sender.QueueFrame(Id(ticket), {PoolKind::kFull, 0, 0, ticket == 1 ? 4 : 1}, pages, [] {});
  }
  for (size_t i = 0; i < transport.frames.size(); ++i) {
    sender.OnFrameMoved(transport.frames[i].transfer, transport.frames[i].sequence_number);
  }
  ASSERT_EQ(transport.frames.size(), 5u);
  EXPECT_EQ(transport.frames[1].transfer, Id(2));
  sender.OnTransportClosed(absl::OkStatus());
}

TEST_F(KvSenderTest, ClaimsAgainWhileThereIsNoRoom) {
  Open();
  Begin(1);
  sender_.OnMessage(Refuse{Id(1), Reason::kKvCacheFull, "full", absl::Milliseconds(40)});
  EXPECT_EQ(listener_.refused.size(), 1u);
  EXPECT_EQ(Count<Claim>(transport_.messages), 1);
  EXPECT_EQ(sender_.NextDeadline(), clock_.Now() + absl::Milliseconds(40));
  clock_.Advance(absl::Milliseconds(40));
  sender_.OnTick();
  EXPECT_EQ(Count<Claim>(transport_.messages), 2);
  clock_.Advance(absl::Milliseconds(10));
  Grant(1, 1);
  ASSERT_EQ(durations_.grant_waits.size(), 1u);
  EXPECT_DOUBLE_EQ(durations_.grant_waits[0], 0.05);
}

TEST_F(KvSenderTest, RoomThatDoesNotComeInTimeIsKvCacheFull) {
  Open();
  Begin(1);
  QueueAll(1);
  for (int i = 0; i < 100 && !listener_.EndOf(Id(1)); ++i) {
    sender_.OnMessage(Refuse{Id(1), Reason::kKvCacheFull, "full", absl::Milliseconds(300)});
    Pass(absl::Milliseconds(300), {});
  }
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kKvCacheFull);
  EXPECT_EQ(released_, 3);
}

TEST_F(KvSenderTest, OtherRefusalsAreFinal) {
  Open();
  uint64_t ticket = 0;
  for (const Reason reason : {Reason::kStaleEpoch, Reason::kWorkerMismatch, Reason::kDraining,
                              Reason::kTransferDeadline}) {
    Begin(++ticket);
    sender_.OnMessage(Refuse{Id(ticket), reason, "no", std::nullopt});
    EXPECT_EQ(listener_.EndOf(Id(ticket)), reason);
  }
  EXPECT_EQ(sender_.counters().refusals, 4);
  EXPECT_EQ(Count<Abort>(transport_.messages), 0);
}

TEST_F(KvSenderTest, NoGrantInTime) {
  Open();
  Begin(1);
  Pass(Limits().grant, {});
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kKvCacheFull);
  EXPECT_EQ(Last<Abort>(transport_.messages)->transfer, Id(1));
}

TEST_F(KvSenderTest, SessionDeadlineEndsATransferButNotTheLink) {
  Open();
  sender_.Begin({Id(1), Spec(1).plan, clock_.Now() + absl::Seconds(3)});
  Grant(1, 10);
  Pass(absl::Seconds(3), {Id(1)});
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kTransferDeadline);
  EXPECT_EQ(Last<Abort>(transport_.messages)->reason, Reason::kTransferDeadline);
  EXPECT_TRUE(sender_.open());
}

TEST_F(KvSenderTest, TransferThatDNoLongerNamesLosesItsLease) {
  Open();
  Begin(1);
  Grant(1, 10);
  Pass(Limits().lease - absl::Milliseconds(100), {});
  EXPECT_FALSE(listener_.EndOf(Id(1)));
  KeepAlive({Id(1)});
  Pass(Limits().lease - absl::Milliseconds(100), {});
  EXPECT_FALSE(listener_.EndOf(Id(1)));
  Pass(absl::Milliseconds(100), {});
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kTransferDeadline);
}

TEST_F(KvSenderTest, FrameThatTakesTooLongCostsTheLink) {
  Open();
  Begin(1);
  Begin(2);
  Grant(1, 1);
  QueueAll(1);
  MoveAll();
  EXPECT_EQ(sender_.NextDeadline(), clock_.Now() + Limits().frame_min);
  clock_.Advance(Limits().frame_min);
  sender_.OnTick();
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kTransferDeadline);
  EXPECT_EQ(listener_.EndOf(Id(2)), Reason::kWorkerLost);
  EXPECT_TRUE(transport_.closed);
}

TEST_F(KvSenderTest, FrameClockStartsWhenTheFrameIsNext) {
  Open();
  Begin(1);
  Grant(1, 3);
  QueueAll(1);
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(Limits().frame_min - absl::Milliseconds(1));
    sender_.OnTick();
    ASSERT_TRUE(sender_.open());
    sender_.OnMessage(Received{Id(1), static_cast<uint32_t>(i)});
  }
  EXPECT_LT(sender_.rate().bytes_per_second(), Limits().first_rate);
}

TEST_F(KvSenderTest, SlowLinkGetsMoreTime) {
  TransferRate rate(Limits());
  EXPECT_EQ(rate.FrameLimit(1000), absl::Milliseconds(50));
  EXPECT_EQ(rate.FrameLimit(100'000'000), absl::Seconds(8));
  for (int i = 0; i < 100; ++i) rate.Add(1000, absl::Seconds(1));
  EXPECT_NEAR(absl::ToDoubleSeconds(rate.FrameLimit(2000)), 16, 0.1);
  rate.Add(0, absl::Seconds(1));
  rate.Add(1000, absl::ZeroDuration());
  EXPECT_NEAR(absl::ToDoubleSeconds(rate.FrameLimit(2000)), 16, 0.1);
}

TEST_F(KvSenderTest, SilentPeerIsDead) {
  Open();
  Begin(1);
  Grant(1, 10);
  clock_.Advance(absl::Milliseconds(1499));
  sender_.OnTick();
  EXPECT_TRUE(sender_.open());
  clock_.Advance(absl::Milliseconds(1));
  sender_.OnTick();
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kWorkerLost);
  EXPECT_TRUE(transport_.closed);
  EXPECT_FALSE(sender_.close_overdue());
  clock_.Advance(Limits().close);
  EXPECT_TRUE(sender_.close_overdue());
}

TEST_F(KvSenderTest, KeepalivesNameTheTransfersThatDKnows) {
  Open();
  Begin(1);
  Begin(2);
  sender_.OnMessage(Refuse{Id(2), Reason::kKvCacheFull, "", absl::Seconds(1)});
  clock_.Advance(Limits().heartbeat);
  sender_.OnTick();
  ASSERT_TRUE(Last<Keepalive>(transport_.messages));
  EXPECT_EQ(Last<Keepalive>(transport_.messages)->transfers, std::vector<TransferId>{Id(1)});
}

TEST_F(KvSenderTest, CancelEndsWhenTheMoverHasGivenBackItsFrames) {
  Open();
  Begin(1);
  Grant(1, 2);
  QueueAll(1);
  sender_.Cancel(Id(1), Reason::kCancelled);
  EXPECT_EQ(Last<Abort>(transport_.messages)->reason, Reason::kCancelled);
  EXPECT_EQ(released_, 2) << "those that the mover never had";
  EXPECT_FALSE(listener_.EndOf(Id(1)));
  sender_.Cancel(Id(1), Reason::kCancelled);
  Queue(1, PoolKind::kSliding, 0, 3, 1);
  EXPECT_EQ(released_, 3) << "a late frame goes back at once";
  MoveAll();
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kCancelled);
  EXPECT_EQ(listener_.finished.size(), 1u);
  ReceiveAll();
  EXPECT_TRUE(sender_.open());
}

TEST_F(KvSenderTest, CancelBeforeTheClaimTellsNobody) {
  Begin(1);
  QueueAll(1);
  sender_.Cancel(Id(1), Reason::kCancelled);
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kCancelled);
  EXPECT_TRUE(transport_.messages.empty());
}

TEST_F(KvSenderTest, AbortFromDEndsTheTransfer) {
  Open();
  Begin(1);
  Grant(1, 10);
  sender_.OnMessage(Abort{Id(1), Reason::kStaleEpoch, "newer"});
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kStaleEpoch);
  EXPECT_EQ(Count<Abort>(transport_.messages), 0);
}

TEST_F(KvSenderTest, SaysWhetherItSumsUpFrames) {
  for (const bool checksums : {true, false}) {
    LinkLimits limits = Limits();
    limits.checksums = checksums;
    KvSender sender(SmallIdentity(), Incarnation{1}, LinkEpoch{1}, {MoverKind::kGrpc}, kSmallShape,
                    limits, transport_, listener_, clock_);
    sender.Open();
    EXPECT_EQ(Last<OpenLink>(transport_.messages)->checksums, checksums);
  }
}

TEST_F(KvSenderTest, RefusedCommit) {
  Open();
  Begin(1);
  Grant(1, 10);
  sender_.Commit(Id(1), {});
  sender_.OnMessage(CommitReply{Id(1), Reason::kKvTransferCorrupt, "pages are missing"});
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kKvTransferCorrupt);
}

TEST_F(KvSenderTest, MessagesAboutEndedTransfersAreIgnored) {
  Open();
  Begin(1);
  sender_.Cancel(Id(1), Reason::kCancelled);
  Grant(1, 1);
  sender_.OnMessage(Credit{Id(1), 1});
  sender_.OnMessage(Refuse{Id(9), Reason::kDraining, "", std::nullopt});
  sender_.OnMessage(CommitReply{Id(1)});
  sender_.OnMessage(Abort{Id(1, 7), Reason::kCancelled, ""});
  EXPECT_EQ(sender_.counters().messages_ignored, 5);
  EXPECT_TRUE(sender_.open());
}

TEST_F(KvSenderTest, PeerThatBreaksTheRulesLosesTheLink) {
  Open();
  sender_.OnMessage(Received{Id(1), 0});
  ASSERT_EQ(listener_.failures.size(), 1u);
  EXPECT_EQ(GetReason(listener_.failures[0]), Reason::kWorkerLost);
}

TEST_F(KvSenderTest, AnswerBeforeTheReplyToOpenLosesTheLink) {
  sender_.Open();
  Grant(1, 1);
  EXPECT_EQ(listener_.failures.size(), 1u);
}

TEST_F(KvSenderTest, TransportThatClosesEndsEverything) {
  Open();
  Begin(1);
  Begin(2);
  Grant(1, 10);
  QueueAll(1);
  MoveAll();
  sender_.OnTransportClosed(absl::UnavailableError("reset"));
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kWorkerLost);
  EXPECT_EQ(listener_.EndOf(Id(2)), Reason::kWorkerLost);
  EXPECT_TRUE(sender_.done());
  EXPECT_EQ(sender_.NextDeadline(), absl::InfiniteFuture());
  Begin(3);
  EXPECT_EQ(listener_.EndOf(Id(3)), Reason::kWorkerLost);
}

}  // namespace
}  // namespace cleave
