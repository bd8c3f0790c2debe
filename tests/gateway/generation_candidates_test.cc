// Several answers to one prompt: each has its own order and end, the request one end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/generation.h"
#include "gateway/request_error.h"
#include "tests/gateway/generation_fakes.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class GenerationCandidatesTest : public RerouteTest {
 protected:
  void Start(int candidates = 2) {
    Begin({.prompt_ids = {1, 2}, .output_tokens_max = 9, .candidates = candidates});
  }
  void First(uint32_t epoch, int candidate, TokenId id, EndCause finish = EndCause::kNone) {
    generation_->OnFirstToken(epoch, candidate, {{id}, {}}, finish, {});
  }
  void Step(uint32_t epoch, int candidate, int64_t first, std::vector<TokenId> ids,
            EndCause finish = EndCause::kNone) {
    generation_->OnStepTokens(epoch, candidate, first, {std::move(ids), {}}, finish, std::nullopt);
  }
  // The decode worker dies, and the other pair begins.
  void GoOnElsewhere() {
    LoseDecode(*decode_);
    rerouter_.MakeCall();
    generation_->OnTicket(2, 77);
  }
  // The client has 10 of the first and 20, 21 of the second; another pair tells their first tokens.
  void BeginAgain() {
    Start();
    First(1, 0, 10);
    First(1, 1, 20);
    Step(1, 1, 1, {21});
    GoOnElsewhere();
    First(2, 0, 10);
    First(2, 1, 20);
  }
};

TEST_F(GenerationCandidatesTest, EachIsToldInItsOwnOrder) {
  Start();
  EXPECT_EQ(decode_->candidates, 2);
  Step(1, 1, 1, {21});  // before any first token
  First(1, 0, 10);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10));
  EXPECT_THAT(recorder_->ids[1], IsEmpty());
  Step(1, 0, 1, {11, 12});
  First(1, 1, 20);
  EXPECT_THAT(recorder_->ids[1], ElementsAre(20, 21));
  generation_->OnPrefillEnded(1, absl::OkStatus());
  Step(1, 1, 2, {22}, EndCause::kStopId);
  EXPECT_EQ(recorder_->cause[1], EndCause::kStopId);
  EXPECT_TRUE(recorder_->results.empty()) << "the other goes on";
  Step(1, 0, 3, {13}, EndCause::kMaxTokens);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13));
  EXPECT_THAT(recorder_->ids[1], ElementsAre(20, 21, 22));
  EXPECT_EQ(recorder_->cause[0], EndCause::kMaxTokens);
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().output_tokens, 7);
  EXPECT_EQ(decode_->cancels + prefill_->cancels, 0) << "they hold nothing";
}

TEST_F(GenerationCandidatesTest, AFirstTokenMayEndOneOfThem) {
  Start();
  First(1, 0, 10, EndCause::kStopId);
  First(1, 1, 20);
  EXPECT_EQ(recorder_->cause[0], EndCause::kStopId);
  Step(1, 1, 1, {21}, EndCause::kMaxTokens);
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(decode_->cancels + prefill_->cancels, 0);
}

TEST_F(GenerationCandidatesTest, AFirstTokenThatEndsOneMayComeLast) {
  Start();
  Step(1, 1, 1, {21}, EndCause::kMaxTokens);
  First(1, 1, 20);
  EXPECT_TRUE(recorder_->results.empty());
  First(1, 0, 10, EndCause::kStopId);
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(decode_->cancels + prefill_->cancels, 0);
}

TEST_F(GenerationCandidatesTest, FirstTokensThatEndAllFreeTheTicket) {
  Start();
  First(1, 0, 10, EndCause::kStopId);
  First(1, 1, 20, EndCause::kStopId);
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(decode_->cancels, 1);
  EXPECT_EQ(prefill_->cancels, 0) << "nothing was left to transfer";
}

TEST_F(GenerationCandidatesTest, WhatAnEarlierTryHasCompletedIsCancelledInTheNext) {
  recorder_->enough_at[1] = 2;
  BeginAgain();
  EXPECT_THAT(decode_->cancelled_candidates, ElementsAre(1));
  Step(2, 0, 1, {11});
  Step(2, 1, 1, {21});
  Step(2, 1, 2, {22});
  EXPECT_THAT(other_decode_->cancelled_candidates, ElementsAre(1)) << "once";
}

// Each time later, or they would take each other's pages for ever.
TEST_F(GenerationCandidatesTest, PreemptedTheyWaitLongerAndLonger) {
  rerouter_.next = {prefill_, decode_};
  Start();
  std::vector<int64_t> pauses;
  for (uint32_t epoch = 1; epoch < 9; ++epoch) {
    First(epoch, 0, 10);
    First(epoch, 1, 20);
    decode_->holds = prefill_->holds = false;
    generation_->OnPrefillEnded(epoch, absl::OkStatus());
    generation_->OnDecodeEnded(epoch, Failure(Reason::kPreempted));
    pauses.push_back(absl::ToInt64Milliseconds(rerouter_.last_pause));
    rerouter_.MakeCall();
    generation_->OnTicket(epoch + 1, 1);
  }
  EXPECT_THAT(pauses, ElementsAre(50, 100, 200, 400, 800, 1600, 3000, 3000));
}

TEST_F(GenerationCandidatesTest, AStopStringEndsOneOfThem) {
  recorder_->enough_at[0] = 2;
  Start();
  First(1, 0, 10);
  First(1, 1, 20);
  Step(1, 0, 1, {11});
  EXPECT_THAT(decode_->cancelled_candidates, ElementsAre(0));
  Step(1, 0, 2, {12, 13});  // on their way when the worker heard of it
  Step(1, 1, 1, {21});
  EXPECT_TRUE(recorder_->results.empty());
  Step(1, 1, 2, {22}, EndCause::kMaxTokens);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11));
  EXPECT_THAT(recorder_->ids[1], ElementsAre(20, 21, 22));
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().output_tokens, 5);
  EXPECT_EQ(decode_->cancels, 1) << "the first still runs there";
  EXPECT_EQ(decode_->reason, "finished");
}

TEST_F(GenerationCandidatesTest, AWorkerThatIsDoneWithAllIsNotCancelled) {
  recorder_->enough_at[0] = 2;
  Start();
  First(1, 0, 10);
  First(1, 1, 20);
  Step(1, 0, 1, {11});
  Step(1, 0, 2, {12}, EndCause::kMaxTokens);
  Step(1, 1, 1, {21}, EndCause::kMaxTokens);
  EXPECT_TRUE(End().status.ok());
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11));
  EXPECT_EQ(decode_->cancels, 0);
}

TEST_F(GenerationCandidatesTest, RepeatedFirstTokensAreToldOnce) {
  Start();
  First(1, 0, 10);
  First(1, 0, 10);
  First(1, 1, 20);
  First(1, 0, 10);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10));
  EXPECT_THAT(recorder_->ids[1], ElementsAre(20));
}

TEST_F(GenerationCandidatesTest, OneThatWasNotAskedForIsAnError) {
  for (const int candidate : {-1, 2}) {
    recorder_ = std::make_shared<Recorder>();
    Start();
    First(1, candidate, 10);
    EXPECT_EQ(GetReason(End().status), Reason::kInvariant);
  }
  recorder_ = std::make_shared<Recorder>();
  Start(/*candidates=*/1);
  Step(1, 1, 0, {10});
  EXPECT_EQ(GetReason(End().status), Reason::kInvariant);
}

TEST_F(GenerationCandidatesTest, ThePhaseIsThatOfTheFirstTokenOfAny) {
  Start();
  First(1, 1, 20);
  generation_->OnDeadline();
  EXPECT_EQ(GetReason(End().status), Reason::kTransferDeadline);
}

TEST_F(GenerationCandidatesTest, ThePrefillWorkerIsNeededForEachFirstToken) {
  Start();
  First(1, 0, 10);
  Step(1, 0, 1, {11});
  prefill_->holds = false;
  generation_->OnPrefillLost(1);
  rerouter_.MakeCall();
  EXPECT_EQ(decode_->cancels, 1);
  EXPECT_EQ(other_decode_->epoch, 2u);
}

TEST_F(GenerationCandidatesTest, AnotherPairBeginsFromThePrompt) {
  Start();
  First(1, 0, 10);
  First(1, 1, 20, EndCause::kStopId);
  Step(1, 0, 1, {11, 12});
  GoOnElsewhere();
  EXPECT_EQ(other_decode_->candidates, 2);
  EXPECT_THAT(other_decode_->emitted, IsEmpty());
  EXPECT_THAT(other_prefill_->emitted, IsEmpty());
  Step(1, 0, 3, {99});  // still on its way from the first try
  First(2, 0, 10);
  First(2, 1, 20, EndCause::kStopId);
  Step(2, 0, 1, {11});
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12)) << "the client has them";
  Step(2, 0, 2, {12, 13});
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13));
  Step(2, 0, 4, {14}, EndCause::kMaxTokens);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13, 14));
  EXPECT_THAT(recorder_->ids[1], ElementsAre(20)) << "complete, whatever comes";
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().output_tokens, 6);
  EXPECT_EQ(End().replays, 1);
  EXPECT_EQ(other_decode_->cancels + other_prefill_->cancels, 0);
}

TEST_F(GenerationCandidatesTest, AStopStringLastsThroughAnotherTry) {
  recorder_->enough_at[1] = 2;
  BeginAgain();
  Step(2, 1, 1, {21, 22, 23});
  Step(2, 0, 1, {11}, EndCause::kStopId);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11));
  EXPECT_THAT(recorder_->ids[1], ElementsAre(20, 21));
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(other_decode_->cancels, 1) << "the second runs again";
}

TEST_F(GenerationCandidatesTest, OtherTokensThanThoseToldEndIt) {
  BeginAgain();
  Step(2, 1, 1, {99});
  EXPECT_EQ(GetReason(End().status), Reason::kWorkerLost) << "why it was tried again";
  EXPECT_THAT(recorder_->ids[1], ElementsAre(20, 21));
  EXPECT_EQ(other_decode_->cancels, 1);
}

TEST_F(GenerationCandidatesTest, AFullClusterIsToldUntilOneOfThemHasBegun) {
  Start();
  prefill_->holds = false;
  generation_->OnPrefillEnded(1, Failure(Reason::kKvCacheFull));
  EXPECT_EQ(GetReason(End().status), Reason::kKvCacheFull);

  recorder_ = std::make_shared<Recorder>();
  Start();
  First(1, 0, 10);
  prefill_->holds = false;
  generation_->OnPrefillEnded(1, Failure(Reason::kKvCacheFull));
  EXPECT_TRUE(recorder_->results.empty());
}

}  // namespace
}  // namespace cleave
