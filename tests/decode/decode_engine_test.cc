// The decode engine with a link and gateways that do what the test wants. The test takes the turns.
#include "decode/decode_engine.h"

#include <gtest/gtest.h>

#include <map>

#include "prometheus/registry.h"

namespace cleave {
namespace {

constexpr int kSequences = 4;

class FakeIntake final : public KvIntake {
 public:
  void Expect(TransferId transfer, const TicketExpectation&,
              std::function<void(const absl::Status&)> expected) override {
    expects.push_back(transfer);
    expected(absl::OkStatus());
  }
  void Forget(Ticket ticket, Reason) override { forgotten.push_back(ticket); }
  void Reserved(TransferId, absl::StatusOr<std::unique_ptr<TransferDestination>>) override {}

  std::vector<TransferId> expects;
  std::vector<Ticket> forgotten;
};

class Heard final : public DecodeReplies {
 public:
  void OnTicket(RequestKey key, TransferId transfer) override { tickets[key] = transfer; }
  void OnStep(absl::Span<const StepTokens>) override {}
  void OnEnded(RequestKey key, RequestEpoch, const absl::Status& status) override {
    ends[key] = status;
  }
  std::map<RequestKey, TransferId> tickets;
  std::map<RequestKey, absl::Status> ends;
};

class DecodeEngineTest : public ::testing::Test {
 protected:
  ~DecodeEngineTest() override {
    engine_.Stop();
    while (engine_.Turn(absl::ZeroDuration())) {
    }
  }

  static RequestKey Key(uint64_t number) { return {SessionId{1}, number}; }
  bool Submit(uint64_t number, uint32_t epoch = 1, std::optional<Ticket> ticket = std::nullopt,
              bool local = false) {
    SequenceRequest request;
    request.prompt_ids = {2, 300, 301};
    request.output_tokens_max = 9;
    return engine_.Submit({.key = Key(number),
                           .epoch = RequestEpoch{epoch},
                           .ticket = ticket,
                           .local = local,
                           .request = std::move(request),
                           .replies = heard_});
  }
  void TakeTurns() {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(engine_.Turn(absl::ZeroDuration()));
  }
  // Computed by the engine itself, with a long answer.
  void SubmitLong(uint64_t number, Priority priority, absl::Time accepted) {
    SequenceRequest request;
    request.prompt_ids = {2, 300, 301};
    request.output_tokens_max = 190;
    request.priority = priority;
    request.accepted = accepted;
    ASSERT_TRUE(engine_.Submit({.key = Key(number),
                                .epoch = RequestEpoch{1},
                                .local = true,
                                .request = std::move(request),
                                .replies = heard_}));
  }
  // Takes turns until a sequence has ended, and says which.
  uint64_t FirstToEnd() {
    for (int i = 0; i < 1000 && heard_->ends.empty(); ++i) {
      EXPECT_TRUE(engine_.Turn(absl::ZeroDuration()));
    }
    return heard_->ends.empty() ? 0 : heard_->ends.begin()->first.request;
  }
  Reason EndOf(uint64_t number) { return GetReason(heard_->ends[Key(number)]); }

  SimulatedClock clock_;
  prometheus::Registry registry_;
  DecodeMetrics metrics_{registry_};
  std::unique_ptr<ModelHost> host_ =
      *ModelHost::Load({.folder = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny",
                        .kv = {.page_tokens = 8},
                        .kv_bytes_max = int64_t{180} << 10,
                        .context_tokens_max = 200,
                        .step_rows_max = 64,
                        .step_outputs_max = 64,
                        .step_sequences_max = kSequences});
  std::unique_ptr<DecodeStep> step_ = *DecodeStep::Create(*host_, clock_, {}, 16);
  FakeIntake intake_;
  DecodeEngine engine_{*host_, *step_,   intake_,
                       clock_, metrics_, {.sequences_max = kSequences, .prompt_rows_max = 16}};
  std::shared_ptr<Heard> heard_ = std::make_shared<Heard>();
};

TEST_F(DecodeEngineTest, OnlySoManyMayWaitForAStep) {
  for (uint64_t i = 1; i <= 2 * kSequences; ++i) EXPECT_TRUE(Submit(i));
  EXPECT_FALSE(Submit(99));
  TakeTurns();
  EXPECT_EQ(heard_->tickets.size(), size_t{kSequences});
  EXPECT_EQ(EndOf(kSequences + 1), Reason::kQueueFull);
  EXPECT_EQ(heard_->ends.count(Key(99)), 0u);
  EXPECT_TRUE(Submit(100));
}

TEST_F(DecodeEngineTest, ATicketGoesOnUnderAHigherEpoch) {
  Submit(1);
  TakeTurns();
  const Ticket ticket = heard_->tickets[Key(1)].ticket;
  Submit(1, 2, ticket);
  TakeTurns();
  EXPECT_EQ(heard_->tickets[Key(1)], (TransferId{ticket, RequestEpoch{2}}));
  EXPECT_EQ(intake_.expects.size(), 2u);
  EXPECT_EQ(intake_.forgotten, std::vector{ticket}) << "that of the try before";
  EXPECT_EQ(engine_.load().requests_waiting, 1);
}

TEST_F(DecodeEngineTest, ATicketGoesOnForItsOwnRequestOnly) {
  Submit(1, 5);
  Submit(2, 1, std::nullopt, /*local=*/true);  // has no ticket
  TakeTurns();
  const Ticket ticket = heard_->tickets[Key(1)].ticket;
  Submit(3, 6, ticket);
  TakeTurns();
  EXPECT_EQ(EndOf(3), Reason::kStaleEpoch);
  Submit(1, 5, ticket);
  TakeTurns();
  EXPECT_EQ(EndOf(1), Reason::kStaleEpoch);
  Submit(4, 1, Ticket{0});
  TakeTurns();
  EXPECT_EQ(heard_->ends.count(Key(2)), 0u);
  EXPECT_TRUE(intake_.forgotten.empty());
}

// Pages for two of three answers.
TEST_F(DecodeEngineTest, TheLowestPriorityIsGivenBackFirstButNotTheOldest) {
  SubmitLong(1, Priority::kLow, clock_.Now());
  clock_.Advance(absl::Milliseconds(1));
  SubmitLong(2, Priority::kLow, clock_.Now());
  SubmitLong(3, Priority::kHigh, clock_.Now());
  EXPECT_EQ(FirstToEnd(), 2u);
  EXPECT_EQ(EndOf(2), Reason::kPreempted);
}

// A request that has been tried before is older than this try.
TEST_F(DecodeEngineTest, OfEqualsTheYoungestRequestIsGivenBackFirst) {
  clock_.Advance(absl::Minutes(1));
  SubmitLong(1, Priority::kNormal, clock_.Now());
  SubmitLong(2, Priority::kNormal, clock_.Now() - absl::Seconds(20));
  SubmitLong(3, Priority::kNormal, clock_.Now() - absl::Seconds(10));
  EXPECT_EQ(FirstToEnd(), 1u);
  EXPECT_EQ(EndOf(1), Reason::kPreempted);
}

}  // namespace
}  // namespace cleave
