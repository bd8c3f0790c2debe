#include "runtime/link/sender_links.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/link/link_fakes.h"

namespace cleave {
namespace {

// Dials nobody; the test plays the decode workers.
class FakeDialer final : public LinkDialer {
 public:
  struct Dialled {
    std::string address;
    KvSender* sender;
    std::shared_ptr<FakeSenderTransport> transport;  // shared with the link, which goes first
  };
  std::unique_ptr<SenderTransport> Dial(const std::string& address, KvSender& sender) override {
    class Shared final : public SenderTransport {
     public:
      explicit Shared(std::shared_ptr<FakeSenderTransport> fake) : fake_(std::move(fake)) {}
      void Send(PrefillToDecode message) override { fake_->Send(std::move(message)); }
      void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) override {
        fake_->SendFrame(header, pages);
      }
      void Close(const absl::Status& why) override { fake_->Close(why); }

     private:
      std::shared_ptr<FakeSenderTransport> fake_;
    };
    links.push_back({address, &sender, std::make_shared<FakeSenderTransport>()});
    return std::make_unique<Shared>(links.back().transport);
  }
  std::vector<Dialled> links;
};

class SenderLinksTest : public testing::Test {
 protected:
  ~SenderLinksTest() override {
    links_.Shutdown();
    for (const auto& link : dialer_.links) {
      if (link.transport->closed && !closed_.contains(link.transport.get())) Lose(link);
    }
    links_.OnTick();
    EXPECT_TRUE(links_.done());
  }

  static SenderLinksOptions Options() {
    SenderLinksOptions options;
    options.identity = SmallIdentity();
    options.incarnation = Incarnation{1};
    options.shape = kSmallShape;
    options.jitter_seed = 7;
    return options;
  }
  void Begin(uint64_t ticket, const std::string& address = "d:1") {
    links_.Begin(address, {Id(ticket), MakeTransferPlan(kSmallShape, 4)});
  }
  bool DialledLast() {
    return Last<OpenLink>(dialer_.links.back().transport->messages).has_value();
  }
  void Lose(const FakeDialer::Dialled& link) {
    closed_.insert(link.transport.get());
    link.sender->OnTransportClosed(absl::UnavailableError("reset"));
  }
  void LoseLast() {
    Lose(dialer_.links.back());
    links_.OnTick();
  }
  void Accept() {
    dialer_.links.back().sender->OnMessage(
        OpenLinkReply{LinkAccepted{Incarnation{2}, MoverKind::kGrpc, 1 << 20}});
  }
  void Commit(uint64_t ticket) {
    KvSender& sender = *dialer_.links.back().sender;
    sender.OnMessage(Grant{Id(ticket), 1});
    links_.Commit(Id(ticket), {});
    sender.OnMessage(CommitReply{Id(ticket)});
  }
  // The wait before the next dial, in milliseconds.
  double Wait() { return absl::ToDoubleMilliseconds(links_.NextDeadline() - clock_.Now()); }

  SimulatedClock clock_;
  FakeDialer dialer_;
  FakeSenderListener listener_;
  std::set<FakeSenderTransport*> closed_;
  SenderLinks links_{Options(), dialer_, listener_, clock_};
};

TEST_F(SenderLinksTest, ALinkThatKeepsItsMemoryTooLongIsSeen) {
  Begin(1);
  Accept();
  clock_.Advance(LinkLimits().dead_after());
  links_.OnTick();
  EXPECT_EQ(links_.figures().links_open, 0);
  EXPECT_EQ(links_.figures().links_overdue, 0);
  EXPECT_EQ(links_.NextDeadline(), clock_.Now() + LinkLimits().close);
  clock_.Advance(LinkLimits().close);
  EXPECT_EQ(links_.figures().links_overdue, 1);
  LoseLast();
  EXPECT_EQ(links_.figures().links_overdue, 0);
}

TEST_F(SenderLinksTest, OneLinkForEachWorkerIsKept) {
  Begin(1);
  Begin(2);
  Begin(3, "d:2");
  ASSERT_EQ(dialer_.links.size(), 2u);
  EXPECT_EQ(dialer_.links[1].address, "d:2");
  Accept();
  Commit(3);
  Begin(4, "d:2");
  EXPECT_EQ(dialer_.links.size(), 2u);
  EXPECT_EQ(links_.figures().links_open, 1);
}

TEST_F(SenderLinksTest, ConnectOpensALinkBeforeItIsNeeded) {
  links_.Connect("d:1");
  EXPECT_TRUE(DialledLast());
  Accept();
  Begin(1);
  EXPECT_TRUE(Last<Claim>(dialer_.links[0].transport->messages));
}

TEST_F(SenderLinksTest, NextLinkHasAHigherEpochAndWaits) {
  Begin(1);
  LoseLast();
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kWorkerLost);
  Begin(2);
  ASSERT_EQ(dialer_.links.size(), 2u);
  EXPECT_FALSE(DialledLast());
  EXPECT_GE(Wait(), 50);
  EXPECT_LE(Wait(), 100);
  clock_.Advance(absl::Milliseconds(100));
  links_.OnTick();
  ASSERT_TRUE(DialledLast());
  EXPECT_EQ(Last<OpenLink>(dialer_.links[1].transport->messages)->link_epoch, LinkEpoch{2});
  EXPECT_FALSE(listener_.EndOf(Id(2)));
}

TEST_F(SenderLinksTest, BreakerOpensAfterThreeFailuresAndTriesOneLinkAgain) {
  for (uint64_t ticket = 1; ticket <= 3; ++ticket) {
    Begin(ticket);
    clock_.Advance(absl::Seconds(1));
    links_.OnTick();
    LoseLast();
  }
  Begin(4);
  EXPECT_EQ(dialer_.links.size(), 3u) << "failed without a link";
  ASSERT_EQ(listener_.EndOf(Id(4)), Reason::kNoDecodeWorker);
  const auto retry_after = GetErrorDetail(listener_.finished.back().second)->retry_after;
  ASSERT_TRUE(retry_after);
  EXPECT_GE(*retry_after, absl::Milliseconds(200));
  EXPECT_LE(*retry_after, absl::Milliseconds(400));
  clock_.Advance(absl::Milliseconds(400));
  Begin(5);
  EXPECT_EQ(dialer_.links.size(), 4u);
  EXPECT_TRUE(DialledLast());
  LoseLast();
  Begin(6);
  EXPECT_EQ(listener_.EndOf(Id(6)), Reason::kNoDecodeWorker);
  clock_.Advance(absl::Seconds(1));
  Begin(7);
  Accept();
  Commit(7);
  EXPECT_EQ(listener_.EndOf(Id(7)), Reason::kUnspecified);
  LoseLast();
  Begin(8);
  EXPECT_FALSE(listener_.EndOf(Id(8))) << "a commit has closed the breaker";
}

TEST_F(SenderLinksTest, BackoffDoublesUpToItsLimit) {
  SenderLinksOptions options = Options();
  options.failures_max = 1;  // so that Begin tells how long the wait is
  SenderLinks links(options, dialer_, listener_, clock_);
  double full = 0.1;
  for (uint64_t ticket = 1; ticket <= 20; ticket += 2) {
    links.Begin("d:1", {Id(ticket), MakeTransferPlan(kSmallShape, 4)});
    Lose(dialer_.links.back());
    links.OnTick();
    links.Begin("d:1", {Id(ticket + 1), MakeTransferPlan(kSmallShape, 4)});
    const auto detail = GetErrorDetail(listener_.finished.back().second);
    ASSERT_TRUE(detail && detail->retry_after);
    EXPECT_GE(absl::ToDoubleSeconds(*detail->retry_after), full / 2 - 0.001);
    EXPECT_LE(absl::ToDoubleSeconds(*detail->retry_after), full);
    full = std::min(10.0, full * 2);
    clock_.Advance(absl::Seconds(10));
  }
  EXPECT_EQ(links.figures().links_failed, 10);
  links.Shutdown();
}

TEST_F(SenderLinksTest, WorkersThatDoNotFitFailFastAndSayWhy) {
  Begin(1);
  dialer_.links.back().sender->OnMessage(
      OpenLinkReply{LinkRefused{Reason::kWorkerMismatch, "layout_hash", "a", "b"}});
  Begin(2);
  EXPECT_EQ(listener_.EndOf(Id(1)), Reason::kWorkerMismatch);
  EXPECT_EQ(listener_.EndOf(Id(2)), Reason::kWorkerMismatch);
  EXPECT_EQ(GetErrorDetail(listener_.finished.back().second)->field, "layout_hash");
}

TEST_F(SenderLinksTest, TransferThatWaitsForALinkKeepsItsDeadline) {
  Begin(1);
  LoseLast();
  links_.Begin("d:1",
               {Id(2), MakeTransferPlan(kSmallShape, 4), clock_.Now() + absl::Milliseconds(10)});
  clock_.Advance(absl::Milliseconds(10));
  links_.OnTick();
  EXPECT_EQ(listener_.EndOf(Id(2)), Reason::kTransferDeadline);
}

TEST_F(SenderLinksTest, CallsAboutUnknownTransfersAreHarmless) {
  bool released = false;
  links_.QueueFrame(Id(9), {}, {}, [&] { released = true; });
  EXPECT_TRUE(released);
  links_.Commit(Id(9), {});
  links_.Cancel(Id(9), Reason::kCancelled);
}

TEST_F(SenderLinksTest, ShutdownEndsAllAndBeginsNoMore) {
  Begin(1);
  LoseLast();
  Begin(2);  // waits for its link
  links_.Shutdown();
  EXPECT_EQ(listener_.EndOf(Id(2)), Reason::kWorkerLost);
  Begin(3);
  EXPECT_EQ(listener_.EndOf(Id(3)), Reason::kDraining);
  EXPECT_TRUE(links_.done());
}

}  // namespace
}  // namespace cleave
