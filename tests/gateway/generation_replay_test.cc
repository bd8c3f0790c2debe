// A request goes on when its workers cannot: the client sees the same tokens, and a pause.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/generation.h"
#include "gateway/request_error.h"
#include "tests/gateway/generation_fakes.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;

absl::Status Failure(Reason reason) {
  return MakeError(absl::StatusCode::kAborted, "as the test wants",
                   {.reason = reason, .field = "", .limit = "", .actual = "", .retry_after = {}});
}

class GenerationReplayTest : public testing::Test {
 protected:
  GenerationReplayTest() { rerouter_.next = {other_prefill_, other_decode_}; }
  ~GenerationReplayTest() override {
    if (generation_ != nullptr) generation_->Cancel(CancelledByClient());
  }

  void Start(std::vector<MediaItem> media = {}) {
    SequenceOrder order{.prompt_ids = {1, 2}, .media = std::move(media), .output_tokens_max = 9};
    generation_ =
        std::make_shared<Generation>(GenerationOptions{.number = kNumber,
                                                       .order = std::move(order),
                                                       .route = {prefill_, decode_},
                                                       .accepted = clock_.Now(),
                                                       .deadline = clock_.Now() + absl::Hours(1),
                                                       .rerouter = &rerouter_},
                                     recorder_, clock_);
    generation_->Start();
    generation_->OnTicket(1, 99);
  }
  void First(uint32_t epoch, TokenId id) {
    generation_->OnFirstToken(epoch, {{id}, {}}, EndCause::kNone, {});
  }
  void Step(uint32_t epoch, int64_t first, std::vector<TokenId> ids,
            EndCause finish = EndCause::kNone) {
    generation_->OnStepTokens(epoch, first, {std::move(ids), {}}, finish, std::nullopt);
  }
  // The decode worker of this try dies; it is not there for a Cancel.
  void LoseDecode(FakeDecode& worker) {
    worker.holds = false;
    generation_->OnDecodeLost(worker.epoch);
  }
  const GenerationResult& End() {
    EXPECT_EQ(recorder_->results.size(), 1u);
    return recorder_->results.at(0);
  }

  SimulatedClock clock_;
  std::shared_ptr<FakeDecode> decode_ = std::make_shared<FakeDecode>();
  std::shared_ptr<FakePrefill> prefill_ = std::make_shared<FakePrefill>();
  std::shared_ptr<FakeDecode> other_decode_ = std::make_shared<FakeDecode>();
  std::shared_ptr<FakePrefill> other_prefill_ = std::make_shared<FakePrefill>();
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  FakeRerouter rerouter_;
  std::shared_ptr<Generation> generation_;
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
  EXPECT_THAT(recorder_->ids, ElementsAre(10, 11, 12, 13, 14, 15));
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
  EXPECT_THAT(recorder_->ids, ElementsAre(10));
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
  EXPECT_THAT(recorder_->ids, ElementsAre(10, 11, 12, 13));
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

// Pairs that die, drain and give back, with late messages of every earlier try.
class ReplayWalk {
 public:
  explicit ReplayWalk(uint64_t seed) : walk_(seed) {
    for (int i = walk_.Between(1, 12); i > 0; --i) answer_.push_back(walk_.Below(1000));
    rerouter_.next = {prefill_[0], decode_[0]};
    generation_ = std::make_shared<Generation>(
        GenerationOptions{
            .number = kNumber,
            .order = {.prompt_ids = {1}, .output_tokens_max = static_cast<int>(answer_.size())},
            .route = rerouter_.next,
            .accepted = clock_.Now(),
            .deadline = clock_.Now() + absl::Hours(1),
            .rerouter = &rerouter_},
        recorder_, clock_);
  }

  void Run() {
    generation_->Start();
    for (int i = 0; i < 1000 && !generation_->ended(); ++i) Act(/*calm=*/i > 300);
    ASSERT_EQ(recorder_->results.size(), 1u) << "it ends, and once";
    for (const auto& message : sent_) message();
    const GenerationResult& end = recorder_->results[0];
    ASSERT_TRUE(std::equal(recorder_->ids.begin(), recorder_->ids.end(), answer_.begin()));
    if (end.status.ok()) {
      EXPECT_EQ(recorder_->ids, answer_);
    } else {
      EXPECT_EQ(GetReason(end.status), Reason::kWorkerLost) << end.status;
    }
    for (int i = 0; i < 2; ++i) {
      EXPECT_FALSE(decode_[i]->holds);
      EXPECT_FALSE(prefill_[i]->holds);
      EXPECT_EQ(decode_[i]->events, nullptr);
    }
    EXPECT_EQ(generation_.use_count(), 1) << "nobody keeps it";
  }

 private:
  void Act(bool calm) {
    clock_.Advance(absl::Milliseconds(10));
    if (walk_.OneIn(4)) rerouter_.MakeCall();
    if (walk_.OneIn(3) && !sent_.empty()) {
      sent_[static_cast<size_t>(walk_.Below(static_cast<int>(sent_.size())))]();  // once more
    }
    FindTry();
    if (epoch_ == 0 || generation_->ended()) return;
    if (!calm && walk_.OneIn(12)) return Fail();
    Advance();
  }

  // The pair that the newest try is at.
  void FindTry() {
    for (int i = 0; i < 2; ++i) {
      if (!decode_[i]->holds || decode_[i]->epoch <= epoch_) continue;
      pair_ = i;
      epoch_ = decode_[i]->epoch;
      first_ = next_ = static_cast<int>(decode_[i]->emitted.size());
      ticket_ = first_sent_ = false;
      ++next_;  // that of the prefill worker comes before
    }
  }

  void Fail() {
    FakeDecode& decode = *decode_[pair_];
    FakePrefill& prefill = *prefill_[pair_];
    rerouter_.next = {prefill_[1 - pair_], decode_[1 - pair_]};
    const int kind = walk_.Below(4);
    if (kind < 2 && decode.holds) {
      decode.holds = false;
      const uint32_t epoch = epoch_;
      if (kind == 0 && walk_.OneIn(3)) return generation_->OnDecodeLost(epoch);
      return Send(
          [this, epoch] { generation_->OnDecodeEnded(epoch, Failure(Reason::kPreempted)); });
    }
    if (kind == 2 && prefill.holds && prefill.epoch == epoch_ && !first_sent_) {
      prefill.holds = false;
      if (walk_.OneIn(3)) return generation_->OnPrefillLost(epoch_);
      Send([this, epoch = epoch_] {
        generation_->OnPrefillEnded(epoch, Failure(Reason::kDraining));
      });
    }
  }

  void Advance() {
    const uint32_t epoch = epoch_;
    if (!ticket_) {
      ticket_ = true;
      return Send([this, epoch] { generation_->OnTicket(epoch, 5); });
    }
    if (prefill_[pair_]->epoch != epoch) return;
    const int size = static_cast<int>(answer_.size());
    if (!first_sent_ && walk_.OneIn(2)) {
      first_sent_ = true;
      const bool last = first_ + 1 == size;
      if (last) prefill_[pair_]->holds = false;
      const TokenId id = answer_[static_cast<size_t>(first_)];
      return Send([this, epoch, id, last] {
        generation_->OnFirstToken(epoch, {{id}, {}}, last ? EndCause::kMaxTokens : EndCause::kNone,
                                  {});
      });
    }
    if (next_ >= size || !decode_[pair_]->holds) return;
    prefill_[pair_]->holds = false;  // its KV has arrived
    const int count = walk_.Between(1, std::min(size - next_, 3));
    const std::vector<TokenId> ids(answer_.begin() + next_, answer_.begin() + next_ + count);
    const int begin = std::exchange(next_, next_ + count);
    const bool last = next_ == size;
    if (last) decode_[pair_]->holds = false;
    Send([this, epoch, begin, ids, last] {
      generation_->OnStepTokens(epoch, begin, {ids, {}},
                                last ? EndCause::kMaxTokens : EndCause::kNone, std::nullopt);
    });
  }

  void Send(const std::function<void()>& message) {
    sent_.push_back(message);
    message();
  }

  RandomWalk walk_;
  SimulatedClock clock_;
  std::vector<TokenId> answer_;
  std::shared_ptr<FakeDecode> decode_[2] = {std::make_shared<FakeDecode>(),
                                            std::make_shared<FakeDecode>()};
  std::shared_ptr<FakePrefill> prefill_[2] = {std::make_shared<FakePrefill>(),
                                              std::make_shared<FakePrefill>()};
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  FakeRerouter rerouter_;
  std::shared_ptr<Generation> generation_;
  std::vector<std::function<void()>> sent_;
  int pair_ = 0;
  uint32_t epoch_ = 0;
  int first_ = 0, next_ = 0;  // the token of the prefill worker, the decode worker's next
  bool ticket_ = false, first_sent_ = false;
};

TEST(GenerationReplayWalkTest, TokensAreTheSameWhoeverDies) {
  int completed = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 3000; ++seed) {
    SCOPED_TRACE(seed);
    ReplayWalk(seed).Run();
    if (testing::Test::HasFailure()) break;
    ++completed;
  }
  EXPECT_EQ(completed, 3000);
}

}  // namespace
}  // namespace cleave
