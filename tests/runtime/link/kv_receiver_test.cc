#include "runtime/link/kv_receiver.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "runtime/link/link_error.h"
#include "tests/runtime/link/link_fakes.h"

namespace cleave {
namespace {

constexpr int64_t kPositions = 16;  // 4 full pages; sliding pages 2 and 3

class KvReceiverTest : public testing::Test {
 protected:
  ~KvReceiverTest() override {
    receiver_.Fail(absl::CancelledError("the test is over"));
    if (!receiver_.done()) receiver_.OnTransportClosed(absl::CancelledError("the test is over"));
    while (!listener_.reserving.empty()) RefusePages();
  }

  OpenLink Hello() { return {SmallIdentity(), Incarnation{1}, LinkEpoch{1}, {MoverKind::kGrpc}}; }
  void Open() { receiver_.OnMessage(Hello()); }
  TicketExpectation Expectation() {
    return {.plan = MakeTransferPlan(kSmallShape, kPositions),
            .num_positions = kPositions,
            .num_candidates = 1,
            .last_hidden_bytes = 3,
            .deadline = clock_.Now() + absl::Seconds(100)};
  }
  void Expect(TransferId id) { ASSERT_TRUE(tickets_.Expect(id, Expectation()).ok()); }
  void SendClaim(TransferId id) { receiver_.OnMessage(Claim{id, Expectation().plan}); }
  void GivePages() {
    const TransferId id = listener_.reserving.front();
    listener_.reserving.erase(listener_.reserving.begin());
    receiver_.OnReserved(id, listener_.Destination());
  }
  void RefusePages() {
    const TransferId id = listener_.reserving.front();
    listener_.reserving.erase(listener_.reserving.begin());
    receiver_.OnReserved(id, LinkError(Reason::kKvCacheFull, "full", absl::Milliseconds(70)));
  }
  // Expected, claimed and granted.
  void Begin(TransferId id) {
    Expect(id);
    SendClaim(id);
    GivePages();
  }

  // The frames of the whole plan, in order.
  static std::vector<FrameHeader> Frames(TransferId id) {
    return {{id, 0, PoolKind::kFull, 0, 0, 3, 24},
            {id, 1, PoolKind::kSliding, 1, 2, 2, 8},
            {id, 2, PoolKind::kFull, 0, 3, 1, 8},
            {id, 3, PoolKind::kSliding, 0, 2, 2, 8}};
  }
  void SendFrame(const FrameHeader& header) {
    const std::string bytes(
        static_cast<size_t>(std::max<int64_t>(0, std::min<int64_t>(header.bytes, 100))),
        static_cast<char>('a' + header.sequence_number % 20));
    SendFrame(header, bytes);
  }
  void SendFrame(const FrameHeader& header, const std::string& bytes) {
    const absl::Span<const uint8_t> span(reinterpret_cast<const uint8_t*>(bytes.data()),
                                         bytes.size());
    checksum_.AddHeader(header);
    checksum_.AddBytes(span);
    receiver_.OnFrame(header, span);
  }
  void SendAllFrames(TransferId id) {
    for (const FrameHeader& header : Frames(id)) SendFrame(header);
  }
  Commit GoodCommit(TransferId id) {
    return {
        .transfer = id,
        .frames = 4,
        .bytes = 48,
        .checksum = checksum_.value(),
        .payload = {
            .first_tokens = {{5, -1}}, .last_hidden_state = "abc", .num_positions = kPositions}};
  }
  std::optional<Reason> LastRefusal() {
    const auto refuse = Last<Refuse>(transport_.messages);
    return refuse ? std::optional(refuse->reason) : std::nullopt;
  }
  // Time passes in steps, with P alive and naming `transfers`.
  void Pass(absl::Duration time, const std::vector<TransferId>& transfers) {
    for (; time > absl::ZeroDuration(); time -= absl::Milliseconds(100)) {
      clock_.Advance(absl::Milliseconds(100));
      receiver_.OnMessage(Keepalive{transfers});
      receiver_.OnTick();
    }
  }

  SimulatedClock clock_;
  FakeReceiverTransport transport_;
  FakeReceiverListener listener_;
  TicketTable tickets_{10, [](TransferId) {}};
  LinkRegistry registry_;
  LinkLimits limits_;
  FrameChecksum checksum_;
  KvReceiver receiver_{SmallIdentity(), Incarnation{2}, kSmallShape, limits_, tickets_,
                       registry_,       transport_,     listener_,   clock_};
};

TEST_F(KvReceiverTest, WholeTransfer) {
  Open();
  Begin(Id(1));
  EXPECT_EQ(Last<Grant>(transport_.messages)->credits, limits_.credits);
  SendAllFrames(Id(1));
  EXPECT_EQ(Count<Received>(transport_.messages), 4);
  EXPECT_EQ(Count<Credit>(transport_.messages), 4);
  receiver_.OnMessage(GoodCommit(Id(1)));
  EXPECT_EQ(Last<CommitReply>(transport_.messages)->reason, Reason::kUnspecified);
  ASSERT_EQ(listener_.committed.size(), 1u);
  EXPECT_EQ(listener_.committed[0].second, GoodCommit(Id(1)).payload);
  EXPECT_EQ(listener_.pages.size(), 8u);
  EXPECT_EQ((listener_.pages[{PoolKind::kFull, 0, 3}]), "cccccccc");
  EXPECT_EQ((listener_.pages[{PoolKind::kSliding, 1, 2}]), "bbbb");
  EXPECT_EQ(receiver_.counters().bytes, 48);
  EXPECT_EQ(receiver_.num_transfers(), 0);
}

TEST_F(KvReceiverTest, LinkIsRefusedNamingTheFirstFieldThatDiffers) {
  const std::pair<const char*, std::function<void(LinkIdentity&)>> cases[] = {
      {"protocol_version", [](LinkIdentity& i) { i.protocol_version = 9; }},
      {"layout_hash", [](LinkIdentity& i) { i.layout_hash = "9"; }},
      {"build", [](LinkIdentity& i) { i.build = "9"; }},
      {"model_id", [](LinkIdentity& i) { i.model_id = "9"; }},
      {"numerics_fingerprint", [](LinkIdentity& i) { i.numerics_fingerprint = "9"; }},
  };
  for (const auto& [field, change] : cases) {
    OpenLink hello = Hello();
    change(hello.identity);
    receiver_.OnMessage(hello);
    const auto reply = Last<OpenLinkReply>(transport_.messages);
    ASSERT_TRUE(reply);
    const auto* refused = std::get_if<LinkRefused>(&reply->answer);
    ASSERT_NE(refused, nullptr) << field;
    EXPECT_EQ(refused->reason, Reason::kWorkerMismatch);
    EXPECT_EQ(refused->field, field);
    EXPECT_EQ(refused->actual, "9");
  }
  EXPECT_FALSE(receiver_.open());
}

TEST_F(KvReceiverTest, MoverIsNcclOnlyWithEqualVersions) {
  const auto open_with = [&](const std::string& version, std::vector<MoverKind> movers) {
    FakeReceiverTransport transport;
    KvReceiver receiver(SmallIdentity(), Incarnation{2}, kSmallShape, limits_, tickets_, registry_,
                        transport, listener_, clock_);
    OpenLink hello = Hello();
    hello.identity.nccl_version = version;
    hello.movers = std::move(movers);
    receiver.OnMessage(hello);
    receiver.OnTransportClosed(absl::OkStatus());
    return Last<OpenLinkReply>(transport.messages)->answer;
  };
  const std::vector<MoverKind> both = {MoverKind::kNccl, MoverKind::kGrpc};
  EXPECT_EQ(std::get<LinkAccepted>(open_with("2.27.3", both)).mover, MoverKind::kNccl);
  EXPECT_EQ(std::get<LinkAccepted>(open_with("2.28.0", both)).mover, MoverKind::kGrpc);
  EXPECT_EQ(std::get<LinkRefused>(open_with("2.28.0", {MoverKind::kNccl})).field, "nccl_version");
  EXPECT_EQ(std::get<LinkRefused>(open_with("2.27.3", {})).field, "movers");
}

TEST_F(KvReceiverTest, SpeakingOutOfTurnLosesTheLink) {
  SendClaim(Id(1));
  EXPECT_TRUE(transport_.closed);
  EXPECT_EQ(listener_.opens, 0);
}

TEST_F(KvReceiverTest, FrameOutOfTurnLosesTheLink) {
  SendFrame(Frames(Id(1))[0]);
  EXPECT_TRUE(transport_.closed);
}

TEST_F(KvReceiverTest, AnnouncedFrameLosesTheGrpcLink) {
  Open();
  receiver_.OnMessage(FrameAnnounce{});
  EXPECT_TRUE(transport_.closed);
  EXPECT_EQ(listener_.failures.size(), 1u);
}

TEST_F(KvReceiverTest, StreamWithoutOpenLinkIsClosedInTime) {
  EXPECT_EQ(receiver_.NextDeadline(), clock_.Now() + limits_.open);
  clock_.Advance(limits_.open);
  receiver_.OnTick();
  EXPECT_TRUE(transport_.closed);
}

TEST_F(KvReceiverTest, SilentPeerIsDead) {
  Open();
  Begin(Id(1));
  clock_.Advance(limits_.dead_after());
  receiver_.OnTick();
  EXPECT_TRUE(transport_.closed);
  ASSERT_EQ(listener_.failed.size(), 1u);
  EXPECT_EQ(listener_.failed[0].second, Reason::kWorkerLost);
  EXPECT_EQ(registry_.size(), 0);
}

TEST_F(KvReceiverTest, NewerLinkOfTheSameProcessClosesTheOlder) {
  Open();
  Begin(Id(1));
  FakeReceiverTransport transport;
  KvReceiver newer(SmallIdentity(), Incarnation{2}, kSmallShape, limits_, tickets_, registry_,
                   transport, listener_, clock_);
  newer.OnMessage(Hello());
  EXPECT_EQ(std::get<LinkRefused>(Last<OpenLinkReply>(transport.messages)->answer).reason,
            Reason::kStaleEpoch);
  OpenLink hello = Hello();
  hello.link_epoch = LinkEpoch{2};
  newer.OnMessage(hello);
  EXPECT_TRUE(newer.open());
  EXPECT_TRUE(transport_.closed);
  EXPECT_EQ(listener_.failed.size(), 1u);
  EXPECT_EQ(registry_.size(), 1);
  newer.OnTransportClosed(absl::OkStatus());
}

// --- claims ---

TEST_F(KvReceiverTest, ClaimsThatAreRefused) {
  Open();
  SendClaim(Id(1));
  EXPECT_EQ(LastRefusal(), Reason::kStaleEpoch) << "never expected";
  Expect(Id(2, 5));
  SendClaim(Id(2, 4));
  EXPECT_EQ(LastRefusal(), Reason::kStaleEpoch) << "old epoch";
  SendClaim(Id(2, 6));
  EXPECT_EQ(LastRefusal(), Reason::kStaleEpoch) << "epoch from the future";
  receiver_.OnMessage(Claim{Id(2, 5), MakeTransferPlan(kSmallShape, kPositions + 1)});
  EXPECT_EQ(LastRefusal(), Reason::kWorkerMismatch);
  SendClaim(Id(2, 5));
  EXPECT_EQ(listener_.reserving.size(), 1u);
  SendClaim(Id(2, 5));
  EXPECT_EQ(LastRefusal(), Reason::kStaleEpoch) << "claimed twice";
  Expect(Id(3));
  receiver_.Drain();
  SendClaim(Id(3));
  EXPECT_EQ(LastRefusal(), Reason::kDraining);
  EXPECT_EQ(receiver_.counters().refusals, 6);
  EXPECT_EQ(receiver_.counters().claims, 7);
}

TEST_F(KvReceiverTest, ClaimAfterTheDeadlineIsRefused) {
  Open();
  Expect(Id(1));
  const TransferPlan plan = Expectation().plan;
  Pass(absl::Seconds(100), {});
  receiver_.OnMessage(Claim{Id(1), plan});
  EXPECT_EQ(LastRefusal(), Reason::kTransferDeadline);
}

TEST_F(KvReceiverTest, RefusedForRoomMayClaimAgain) {
  Open();
  Expect(Id(1));
  SendClaim(Id(1));
  RefusePages();
  EXPECT_EQ(LastRefusal(), Reason::kKvCacheFull);
  EXPECT_EQ(Last<Refuse>(transport_.messages)->retry_after, absl::Milliseconds(70));
  EXPECT_EQ(receiver_.num_transfers(), 0);
  SendClaim(Id(1));
  GivePages();
  EXPECT_TRUE(Last<Grant>(transport_.messages));
  EXPECT_TRUE(listener_.failed.empty());
}

TEST_F(KvReceiverTest, ClaimThatEndsBeforeItsPagesCome) {
  Open();
  for (const bool pages_come : {true, false}) {
    const TransferId id = Id(pages_come ? 1 : 2);
    Expect(id);
    SendClaim(id);
    receiver_.OnMessage(Abort{id, Reason::kCancelled, ""});
    EXPECT_EQ(receiver_.num_transfers(), 1) << "the engine owes an answer";
    EXPECT_TRUE(listener_.failed.empty());
    SendFrame(Frames(id)[0]);
    EXPECT_TRUE(listener_.pages.empty());
    pages_come ? GivePages() : RefusePages();
    EXPECT_EQ(receiver_.num_transfers(), 0);
    EXPECT_EQ(listener_.failed.size(), pages_come ? 1u : 0u);
    EXPECT_FALSE(Last<Grant>(transport_.messages));
    listener_.failed.clear();
  }
}

TEST_F(KvReceiverTest, ReexpectedTicketDoesNotMeetItsOwnGhost) {
  Open();
  Expect(Id(1));
  SendClaim(Id(1));
  tickets_.Forget(Ticket{1}, Reason::kCancelled);
  Expect(Id(1));
  SendClaim(Id(1));
  EXPECT_EQ(LastRefusal(), Reason::kStaleEpoch);
}

// --- frames ---

TEST_F(KvReceiverTest, FrameWithAWrongHeaderTouchesNoPage) {
  const std::pair<const char*, std::function<void(FrameHeader&)>> cases[] = {
      {"sequence", [](FrameHeader& h) { h.sequence_number = 1; }},
      {"pool", [](FrameHeader& h) { h.pool = PoolKind{9}; }},
      {"layer", [](FrameHeader& h) { h.layer = 1; }},
      {"layer", [](FrameHeader& h) { h.layer = -1; }},
      {"first page", [](FrameHeader& h) { h.first_page = 4; }},
      {"first page", [](FrameHeader& h) { h.first_page = -1; }},
      {"page count", [](FrameHeader& h) { h.page_count = 5; }},
      {"page count", [](FrameHeader& h) { h.page_count = 0; }},
      {"page count", [](FrameHeader& h) { h.page_count = INT64_MAX; }},
      {"size", [](FrameHeader& h) { h.bytes = 23; }},
      {"sliding page before the window",
       [](FrameHeader& h) {
         h.pool = PoolKind::kSliding;
         h.first_page = 1;
         h.page_count = 1;
         h.bytes = 4;
       }},
  };
  Open();
  uint64_t ticket = 0;
  for (const auto& [what, change] : cases) {
    const TransferId id = Id(++ticket);
    Begin(id);
    FrameHeader header = Frames(id)[0];
    change(header);
    SendFrame(header);
    EXPECT_EQ(listener_.LastFailure(), std::pair(id, Reason::kKvTransferCorrupt)) << what;
    EXPECT_EQ(Last<Abort>(transport_.messages)->transfer, id) << what;
    EXPECT_TRUE(listener_.pages.empty()) << what;
    tickets_.Forget(id.ticket, Reason::kCancelled);
  }
  EXPECT_TRUE(receiver_.open());
  EXPECT_EQ(receiver_.counters().failures_of(Reason::kKvTransferCorrupt),
            static_cast<int64_t>(ticket));
}

TEST_F(KvReceiverTest, FrameThatIsShorterThanItSays) {
  Open();
  Begin(Id(1));
  SendFrame(Frames(Id(1))[0], std::string(23, 'x'));
  EXPECT_EQ(listener_.LastFailure().second, Reason::kKvTransferCorrupt);
}

TEST_F(KvReceiverTest, PageThatComesTwice) {
  Open();
  Begin(Id(1));
  SendFrame(Frames(Id(1))[0]);
  SendFrame({Id(1), 1, PoolKind::kFull, 0, 2, 2, 16});
  EXPECT_EQ(listener_.LastFailure().second, Reason::kKvTransferCorrupt);
  EXPECT_FALSE(listener_.pages.contains({PoolKind::kFull, 0, 3}));
}

TEST_F(KvReceiverTest, FrameBeforeItsGrant) {
  Open();
  Expect(Id(1));
  SendClaim(Id(1));
  SendFrame(Frames(Id(1))[0]);
  EXPECT_EQ(Last<Abort>(transport_.messages)->reason, Reason::kKvTransferCorrupt);
  EXPECT_TRUE(listener_.pages.empty());
}

TEST_F(KvReceiverTest, FramesOfOldEpochsAndStrangersAreIgnoredButReceived) {
  Open();
  Begin(Id(1, 3));
  SendFrame(Frames(Id(1, 2))[0]);
  SendFrame(Frames(Id(9))[0]);
  EXPECT_TRUE(listener_.pages.empty());
  EXPECT_TRUE(listener_.failed.empty());
  EXPECT_EQ(Count<Received>(transport_.messages), 2);
  EXPECT_EQ(Count<Credit>(transport_.messages), 0);
  EXPECT_EQ(receiver_.counters().frames_ignored, 2);
}

// --- commits ---

TEST_F(KvReceiverTest, WithoutChecksumsNoneIsCompared) {
  OpenLink hello = Hello();
  hello.checksums = false;
  receiver_.OnMessage(hello);
  Begin(Id(1));
  SendAllFrames(Id(1));
  Commit commit = GoodCommit(Id(1));
  commit.checksum = 0;
  receiver_.OnMessage(commit);
  EXPECT_EQ(Last<CommitReply>(transport_.messages)->reason, Reason::kUnspecified);
}

TEST_F(KvReceiverTest, CommitThatDisagreesIsRefused) {
  const std::pair<const char*, std::function<void(Commit&)>> cases[] = {
      {"frames", [](Commit& c) { c.frames = 3; }},
      {"bytes", [](Commit& c) { c.bytes = 47; }},
      {"checksum", [](Commit& c) { c.checksum ^= 1; }},
      {"positions", [](Commit& c) { c.payload.num_positions = 15; }},
      {"tokens", [](Commit& c) { c.payload.first_tokens.clear(); }},
      {"hidden", [](Commit& c) { c.payload.last_hidden_state = "ab"; }},
  };
  Open();
  uint64_t ticket = 0;
  for (const auto& [what, change] : cases) {
    const TransferId id = Id(++ticket);
    checksum_ = FrameChecksum();
    Begin(id);
    SendAllFrames(id);
    Commit commit = GoodCommit(id);
    change(commit);
    receiver_.OnMessage(commit);
    EXPECT_EQ(Last<CommitReply>(transport_.messages)->reason, Reason::kKvTransferCorrupt) << what;
    EXPECT_EQ(listener_.LastFailure(), std::pair(id, Reason::kKvTransferCorrupt)) << what;
    tickets_.Forget(id.ticket, Reason::kCancelled);
  }
  EXPECT_TRUE(listener_.committed.empty());
}

TEST_F(KvReceiverTest, CommitWithPagesMissing) {
  Open();
  Begin(Id(1));
  SendFrame(Frames(Id(1))[0]);
  Commit commit = GoodCommit(Id(1));
  commit.frames = 1;
  commit.bytes = 24;
  receiver_.OnMessage(commit);
  EXPECT_EQ(listener_.LastFailure().second, Reason::kKvTransferCorrupt);
}

TEST_F(KvReceiverTest, SecondCommitIsIgnored) {
  Open();
  Begin(Id(1));
  SendAllFrames(Id(1));
  const Commit commit = GoodCommit(Id(1));
  receiver_.OnMessage(commit);
  receiver_.OnMessage(commit);
  EXPECT_EQ(listener_.committed.size(), 1u);
  EXPECT_EQ(receiver_.counters().messages_ignored, 1);
  SendClaim(Id(1));
  EXPECT_EQ(LastRefusal(), Reason::kStaleEpoch);
}

// --- ends ---

TEST_F(KvReceiverTest, NewerEpochEndsTheOlder) {
  Open();
  Begin(Id(1, 1));
  SendFrame(Frames(Id(1, 1))[0]);
  Expect(Id(1, 2));
  EXPECT_EQ(listener_.LastFailure(), std::pair(Id(1, 1), Reason::kStaleEpoch));
  EXPECT_EQ(Last<Abort>(transport_.messages)->transfer, Id(1, 1));
  SendClaim(Id(1, 2));
  EXPECT_EQ(listener_.reserving.size(), 1u);
}

TEST_F(KvReceiverTest, ForgottenTicketEndsTheTransfer) {
  Open();
  Begin(Id(1));
  tickets_.Forget(Ticket{1}, Reason::kCancelled);
  EXPECT_EQ(listener_.LastFailure(), std::pair(Id(1), Reason::kCancelled));
  EXPECT_EQ(Last<Abort>(transport_.messages)->reason, Reason::kCancelled);
}

TEST_F(KvReceiverTest, AbortFromP) {
  Open();
  Begin(Id(1));
  receiver_.OnMessage(Abort{Id(1), Reason::kCancelled, ""});
  EXPECT_EQ(listener_.LastFailure(), std::pair(Id(1), Reason::kCancelled));
  EXPECT_EQ(Count<Abort>(transport_.messages), 0);
}

TEST_F(KvReceiverTest, SessionDeadline) {
  Open();
  Begin(Id(1));
  Pass(absl::Seconds(100), {Id(1)});
  EXPECT_EQ(listener_.LastFailure(), std::pair(Id(1), Reason::kTransferDeadline));
  EXPECT_TRUE(receiver_.open());
}

TEST_F(KvReceiverTest, TransferThatPNoLongerNamesLosesItsLease) {
  Open();
  Begin(Id(1));
  Pass(limits_.lease - absl::Milliseconds(100), {});
  SendFrame(Frames(Id(1))[0]);  // renews it too
  Pass(limits_.lease - absl::Milliseconds(100), {});
  EXPECT_TRUE(listener_.failed.empty());
  Pass(absl::Milliseconds(100), {});
  EXPECT_EQ(listener_.LastFailure(), std::pair(Id(1), Reason::kTransferDeadline));
}

TEST_F(KvReceiverTest, KeepalivesNameTheTransfers) {
  Open();
  Begin(Id(1));
  clock_.Advance(limits_.heartbeat);
  receiver_.OnTick();
  EXPECT_EQ(Last<Keepalive>(transport_.messages)->transfers, std::vector<TransferId>{Id(1)});
}

TEST_F(KvReceiverTest, TransportThatClosesEndsEverything) {
  Open();
  Begin(Id(1));
  Expect(Id(2));
  SendClaim(Id(2));
  receiver_.OnTransportClosed(absl::UnavailableError("reset"));
  EXPECT_EQ(listener_.failed.size(), 1u);
  EXPECT_FALSE(receiver_.done()) << "the engine owes an answer";
  GivePages();
  EXPECT_EQ(listener_.failed.size(), 2u);
  EXPECT_TRUE(receiver_.done());
}

}  // namespace
}  // namespace cleave
