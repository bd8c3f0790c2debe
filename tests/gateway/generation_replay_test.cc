// A request goes on when its workers cannot: the client sees the same tokens, and a pause.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/generation.h"
#include "gateway/request_error.h"
#include "tests/gateway/generation_fakes.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;

class GenerationReplayTest : public RerouteTest {
 protected:
  void Start(std::vector<MediaItem> media = {}) {
    Begin({.prompt_ids = {1, 2}, .media = std::move(media), .output_tokens_max = 9});
  }
  void First(uint32_t epoch, TokenId id) {
    generation_->OnFirstToken(epoch, 0, {{id}, {}}, EndCause::kNone, {});
  }
  void Step(uint32_t epoch, int64_t first, std::vector<TokenId> ids,
            EndCause finish = EndCause::kNone) {
    generation_->OnStepTokens(epoch, 0, first, {std::move(ids), {}}, finish, std::nullopt);
  }
};

TEST_F(GenerationReplayTest, AnotherPairGoesOnWhereADeadWorkerStopped) {
  Start();
  First(1, 10);
  Step(1, 1, {11, 12});
  LoseDecode(*decode_);
  rerouter_.MakeCall();
  EXPECT_THAT(other_decode_->emitted, ElementsAre(10, 11, 12));
  EXPECT_EQ(other_decode_->epoch, 2u);
  generation_->OnTicket(2, 77);
  EXPECT_THAT(other_prefill_->emitted, ElementsAre(10, 11, 12));
  EXPECT_EQ(other_prefill_->ticket, 77u);
  Step(1, 3, {99});  // still on its way from the first try
  Step(2, 4, {14});
  First(2, 13);
  Step(2, 5, {15}, EndCause::kStopId);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13, 14, 15));
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().replays, 1);
  EXPECT_THAT(rerouter_.reasons, ElementsAre(Reason::kWorkerLost));
}

TEST_F(GenerationReplayTest, TokensBehindAGapAreGeneratedAgain) {
  Start();
  Step(1, 1, {11, 12});  // the first token never comes
  prefill_->holds = false;
  generation_->OnPrefillLost(1);
  rerouter_.MakeCall();
  EXPECT_TRUE(other_decode_->emitted.empty());
  EXPECT_EQ(decode_->cancels, 1);
  generation_->OnTicket(2, 1);
  First(2, 10);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10));
}

TEST_F(GenerationReplayTest, TheTicketGoesOnWhereTheDecodeWorkerStays) {
  rerouter_.next = {other_prefill_, decode_};
  Start();
  clock_.Advance(absl::Milliseconds(30));
  prefill_->holds = false;
  generation_->OnPrefillLost(1);
  EXPECT_TRUE(decode_->holds) << "until it is known who goes on";
  rerouter_.MakeCall();
  EXPECT_EQ(decode_->expects, 2);
  EXPECT_EQ(decode_->cancels, 0);
  EXPECT_EQ(decode_->ticket, 99u);
  EXPECT_EQ(decode_->epoch, 2u);
  EXPECT_EQ(decode_->age, absl::Milliseconds(30));
  generation_->OnTicket(2, 99);
  EXPECT_EQ(other_prefill_->ticket, 99u);
}

TEST_F(GenerationReplayTest, ATicketThatIsGoneMeanwhileIsNotCancelled) {
  for (const bool lost : {false, true}) {
    rerouter_.next = {};
    decode_->expects = 0;
    Start();
    prefill_->holds = false;
    generation_->OnPrefillEnded(1, Failure(Reason::kTransferDeadline));
    decode_->holds = false;
    if (lost) generation_->OnDecodeLost(1);
    if (!lost) generation_->OnDecodeEnded(1, Failure(Reason::kDraining));
    rerouter_.next = {other_prefill_, other_decode_};
    rerouter_.MakeCall();
    EXPECT_EQ(decode_->cancels, 0);
    EXPECT_EQ(other_decode_->ticket, std::nullopt);
    generation_->Cancel(CancelledByClient());
  }
}

TEST_F(GenerationReplayTest, ARequestThatLosesTwoWorkersEnds) {
  Start();
  LoseDecode(*decode_);
  rerouter_.MakeCall();
  LoseDecode(*other_decode_);
  EXPECT_EQ(GetReason(End().status), Reason::kWorkerLost);
  EXPECT_EQ(rerouter_.call, nullptr);
}

TEST_F(GenerationReplayTest, ALossThatWasToldTwiceIsOne) {
  Start();
  LoseDecode(*decode_);
  generation_->OnDecodeLost(1);
  rerouter_.MakeCall();
  generation_->OnDecodeLost(1);
  EXPECT_TRUE(recorder_->results.empty());
  EXPECT_TRUE(other_decode_->holds);
}

TEST_F(GenerationReplayTest, PreemptionsDoNotCount) {
  rerouter_.next = {prefill_, decode_};
  Start();
  First(1, 10);
  generation_->OnPrefillEnded(1, absl::OkStatus());
  for (uint32_t epoch = 1; epoch < 30; ++epoch) {
    decode_->holds = false;
    generation_->OnDecodeEnded(epoch, Failure(Reason::kPreempted));
    rerouter_.MakeCall();
    generation_->OnTicket(epoch + 1, 1);
  }
  EXPECT_TRUE(recorder_->results.empty());
  EXPECT_THAT(decode_->emitted, ElementsAre(10));
}

TEST_F(GenerationReplayTest, WaitsForAWorkerButNotForEver) {
  rerouter_.next = {};
  Start();
  LoseDecode(*decode_);
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(absl::Milliseconds(200));
    rerouter_.MakeCall();
  }
  EXPECT_TRUE(recorder_->results.empty());
  EXPECT_EQ(rerouter_.choices, 100);
  clock_.Advance(absl::Seconds(20));
  rerouter_.MakeCall();
  EXPECT_EQ(GetReason(End().status), Reason::kWorkerLost) << "why it had to be tried again";
}

TEST_F(GenerationReplayTest, ACancelWhileItWaitsIsTheEnd) {
  Start();
  LoseDecode(*decode_);
  generation_->Cancel(CancelledByClient());
  rerouter_.MakeCall();
  EXPECT_EQ(other_decode_->expects, 0);
  EXPECT_EQ(GetReason(End().status), Reason::kCancelled);
}

TEST_F(GenerationReplayTest, MediaAreBroughtAgain) {
  MediaItem item{.kind = MediaKind::kImage};
  item.content_hash = "a";
  Start({item});
  prefill_->upload_done(absl::OkStatus());
  prefill_->holds = false;
  generation_->OnPrefillEnded(1, Failure(Reason::kMediaNotUploaded));
  rerouter_.MakeCall();
  generation_->OnTicket(2, 1);
  EXPECT_THAT(other_prefill_->uploads, ElementsAre("a"));
  prefill_->upload_done(absl::UnavailableError("of the first try"));
  EXPECT_EQ(other_prefill_->runs, 0);
  other_prefill_->upload_done(absl::OkStatus());
  EXPECT_EQ(other_prefill_->runs, 1);
  prefill_->upload_done = other_prefill_->upload_done = nullptr;  // they keep the request
}

TEST_F(GenerationReplayTest, AFullClusterIsToldUntilAnAnswerHasBegun) {
  Start();
  prefill_->holds = false;
  generation_->OnPrefillEnded(1, Failure(Reason::kKvCacheFull));
  EXPECT_EQ(GetReason(End().status), Reason::kKvCacheFull);

  recorder_ = std::make_shared<Recorder>();
  Start();
  First(1, 10);
  prefill_->holds = false;
  generation_->OnPrefillEnded(1, Failure(Reason::kKvCacheFull));
  EXPECT_TRUE(recorder_->results.empty());
}

// No prefill worker, no ticket; and a decode worker that dies is replaced by one of its kind.
TEST_F(GenerationReplayTest, AnAnswerThatHasBegunWaitsAsLongAsItMust) {
  rerouter_.next = {prefill_, decode_};
  Start();
  First(1, 10);
  generation_->OnPrefillEnded(1, absl::OkStatus());
  for (uint32_t epoch = 1; epoch < 50; ++epoch) {
    decode_->holds = false;
    generation_->OnDecodeEnded(epoch, Failure(Reason::kQueueFull));
    EXPECT_GT(rerouter_.last_pause, absl::ZeroDuration());
    rerouter_.MakeCall();
  }
  EXPECT_TRUE(recorder_->results.empty());
}

// A prefill worker's word that its link broke is no death: the same worker may have died of both.
TEST_F(GenerationReplayTest, OnlyLostConnectionsCountAsDeaths) {
  Start();
  for (uint32_t epoch = 1; epoch < 4; ++epoch) {
    prefill_->holds = other_prefill_->holds = false;
    generation_->OnPrefillEnded(epoch, Failure(Reason::kWorkerLost));
    rerouter_.MakeCall();
    generation_->OnTicket(epoch + 1, 1);
  }
  EXPECT_TRUE(recorder_->results.empty());
  LoseDecode(*other_decode_);
  EXPECT_TRUE(recorder_->results.empty());
}

TEST_F(GenerationReplayTest, ALocalRouteIsTheDecodeWorkersAlone) {
  rerouter_.next = {nullptr, other_decode_};
  generation_ = std::make_shared<Generation>(
      GenerationOptions{.number = kNumber,
                        .order = {.prompt_ids = {1}, .output_tokens_max = 9},
                        .route = {nullptr, decode_},
                        .accepted = clock_.Now(),
                        .deadline = clock_.Now() + absl::Hours(1),
                        .rerouter = &rerouter_},
      recorder_, clock_);
  generation_->Start();
  EXPECT_TRUE(decode_->local);
  clock_.Advance(absl::Seconds(2));
  Step(1, 0, {10});
  Step(1, 1, {11, 12});
  LoseDecode(*decode_);
  rerouter_.MakeCall();
  EXPECT_TRUE(other_decode_->local);
  Step(2, 3, {13}, EndCause::kStopId);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13));
  EXPECT_EQ(End().time_to_first_token, absl::Seconds(2));
  EXPECT_EQ(End().prefill_worker, "");
  EXPECT_EQ(prefill_->runs, 0);
}

TEST_F(GenerationReplayTest, WhatIsWrongWithTheRequestEndsIt) {
  Start();
  prefill_->holds = false;
  generation_->OnPrefillEnded(1, Failure(Reason::kMediaUndecodable));
  EXPECT_EQ(GetReason(End().status), Reason::kMediaUndecodable);
}

}  // namespace
}  // namespace cleave
