#include "runtime/link/ticket_table.h"

#include <gtest/gtest.h>

#include <vector>

#include "runtime/link/link_registry.h"
#include "tests/runtime/link/link_fakes.h"

namespace cleave {
namespace {

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

class Claimant final : public TicketClaimant {
 public:
  void OnTicketRevoked(TransferId transfer, const absl::Status& why) override {
    revoked.emplace_back(transfer, GetReason(why));
  }
  std::vector<std::pair<TransferId, Reason>> revoked;
};

class TicketTableTest : public testing::Test {
 protected:
  TicketExpectation Expectation() {
    return {.plan = plan_, .num_positions = 5, .deadline = kNow + absl::Seconds(10)};
  }
  absl::Status Expect(TransferId id) { return table_.Expect(id, Expectation()); }
  absl::Status Claim(TransferId id) { return table_.Claim(id, plan_, claimant_, kNow).status(); }

  const TransferPlan plan_ = MakeTransferPlan(kSmallShape, 5);
  Claimant claimant_;
  std::vector<TransferId> expired_;
  TicketTable table_{2, [this](TransferId id) { expired_.push_back(id); }};
};

TEST_F(TicketTableTest, ClaimGivesWhatIsExpectedOnce) {
  ASSERT_TRUE(Expect(Id(1)).ok());
  const auto expectation = table_.Claim(Id(1), plan_, claimant_, kNow);
  ASSERT_TRUE(expectation.ok());
  EXPECT_EQ(expectation->num_positions, 5);
  EXPECT_EQ(GetReason(Claim(Id(1))), Reason::kStaleEpoch);
  table_.Finish(Id(1));
  EXPECT_EQ(GetReason(Claim(Id(1))), Reason::kStaleEpoch);
}

TEST_F(TicketTableTest, UnclaimedMayBeClaimedAgain) {
  ASSERT_TRUE(Expect(Id(1)).ok());
  ASSERT_TRUE(Claim(Id(1)).ok());
  table_.Unclaim(Id(1));
  EXPECT_TRUE(Claim(Id(1)).ok());
}

TEST_F(TicketTableTest, EpochOnlyRises) {
  ASSERT_TRUE(Expect(Id(1, 3)).ok());
  EXPECT_EQ(GetReason(Expect(Id(1, 3))), Reason::kStaleEpoch);
  EXPECT_EQ(GetReason(Expect(Id(1, 2))), Reason::kStaleEpoch);
  ASSERT_TRUE(Claim(Id(1, 3)).ok());
  ASSERT_TRUE(Expect(Id(1, 5)).ok());
  EXPECT_EQ(claimant_.revoked, (std::vector{std::pair(Id(1, 3), Reason::kStaleEpoch)}));
  EXPECT_EQ(GetReason(Claim(Id(1, 3))), Reason::kStaleEpoch);
  ASSERT_TRUE(Claim(Id(1, 5)).ok());
  table_.Finish(Id(1, 3));  // the old one's late end
  table_.Forget(Ticket{1}, Reason::kDraining);
  EXPECT_EQ(claimant_.revoked.back(), std::pair(Id(1, 5), Reason::kDraining));
  EXPECT_EQ(table_.size(), 0);
}

TEST_F(TicketTableTest, IsBounded) {
  ASSERT_TRUE(Expect(Id(1)).ok());
  ASSERT_TRUE(Expect(Id(2)).ok());
  EXPECT_EQ(GetReason(Expect(Id(3))), Reason::kQueueFull);
  EXPECT_TRUE(Expect(Id(2, 2)).ok());
  table_.Forget(Ticket{1}, Reason::kCancelled);
  table_.Forget(Ticket{99}, Reason::kCancelled);
  EXPECT_TRUE(Expect(Id(3)).ok());
  EXPECT_TRUE(claimant_.revoked.empty());
}

TEST_F(TicketTableTest, ExpiresUnlessClaimed) {
  ASSERT_TRUE(Expect(Id(1)).ok());
  ASSERT_TRUE(Expect(Id(2)).ok());
  ASSERT_TRUE(Claim(Id(2)).ok());
  EXPECT_EQ(table_.NextDeadline(), kNow + absl::Seconds(10));
  table_.OnTick(kNow + absl::Seconds(10));
  EXPECT_EQ(expired_, std::vector<TransferId>{Id(1)});
  EXPECT_EQ(table_.NextDeadline(), absl::InfiniteFuture());
  table_.Finish(Id(2));
  table_.OnTick(kNow + absl::Seconds(10));
  EXPECT_EQ(expired_.size(), 1u) << "it was claimed, and has ended";
  EXPECT_EQ(table_.size(), 0);
}

class Opened final : public OpenedLink {
 public:
  void OnSuperseded() override { ++superseded; }
  int superseded = 0;
};

TEST(LinkRegistryTest, NewestEpochOfEachProcess) {
  LinkRegistry registry;
  Opened first, second, other;
  EXPECT_TRUE(registry.Enter(Incarnation{1}, LinkEpoch{5}, first).ok());
  EXPECT_EQ(GetReason(registry.Enter(Incarnation{1}, LinkEpoch{5}, second)), Reason::kStaleEpoch);
  EXPECT_EQ(GetReason(registry.Enter(Incarnation{1}, LinkEpoch{4}, second)), Reason::kStaleEpoch);
  EXPECT_TRUE(registry.Enter(Incarnation{2}, LinkEpoch{1}, other).ok());
  EXPECT_TRUE(registry.Enter(Incarnation{1}, LinkEpoch{6}, second).ok());
  EXPECT_EQ(first.superseded, 1);
  EXPECT_EQ(other.superseded, 0);
  registry.Leave(Incarnation{1}, first);
  EXPECT_EQ(registry.size(), 2);
  registry.Leave(Incarnation{1}, second);
  EXPECT_TRUE(registry.Enter(Incarnation{1}, LinkEpoch{1}, first).ok());
}

}  // namespace
}  // namespace cleave
