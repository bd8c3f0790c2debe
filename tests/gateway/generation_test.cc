#include "gateway/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/request_error.h"
#include "runtime/base/error.h"
#include "tests/gateway/generation_fakes.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class GenerationTest : public testing::Test {
 protected:
  // An upload and an open request keep each other.
  void TearDown() override {
    prefill_->upload_done = nullptr;
    if (generation_ != nullptr) generation_->Cancel(CancelledByClient());
  }
  void Make(std::vector<MediaItem> media = {}, int output_tokens_max = 8,
            std::optional<uint32_t> log_probabilities = std::nullopt) {
    GenerationOptions options{.number = kNumber,
                              .order = {.prompt_ids = {1, 2, 3},
                                        .media = std::move(media),
                                        .emitted_ids = {},
                                        .sampling = {},
                                        .rules = {},
                                        .log_probabilities = log_probabilities,
                                        .stop_ids = {},
                                        .output_tokens_max = output_tokens_max,
                                        .request_id = "r"},
                              .route = {prefill_, decode_},
                              .accepted = clock_.Now(),
                              .deadline = clock_.Now() + absl::Seconds(10)};
    generation_ = std::make_shared<Generation>(std::move(options), recorder_, clock_);
  }
  void StartAndRun() {
    Make();
    generation_->Start();
    generation_->OnTicket(1, 99);
  }
  void First(TokenId id, EndCause finish = EndCause::kNone) {
    generation_->OnFirstToken(
        1, 0, {{id}, {}}, finish,
        {.queue = absl::Seconds(1), .media = {}, .prefill = {}, .grant_wait = {}});
  }
  // The chosen tokens' log-probabilities are minus their ids.
  static AnswerTokens WithLogProbabilities(const std::vector<TokenId>& ids) {
    AnswerTokens tokens{ids, {}};
    for (const TokenId id : ids) tokens.log_probabilities.push_back({-static_cast<float>(id), {}});
    return tokens;
  }
  void Step(int64_t first, std::vector<TokenId> ids, EndCause finish = EndCause::kNone) {
    generation_->OnStepTokens(1, 0, first, {std::move(ids), {}}, finish, std::nullopt);
  }
  const GenerationResult& End() {
    EXPECT_EQ(recorder_->results.size(), 1u);
    return recorder_->results.at(0);
  }
  Reason EndReason() { return GetReason(End().status); }

  SimulatedClock clock_;
  std::shared_ptr<FakeDecode> decode_ = std::make_shared<FakeDecode>();
  std::shared_ptr<FakePrefill> prefill_ = std::make_shared<FakePrefill>();
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  std::shared_ptr<Generation> generation_;
};

TEST_F(GenerationTest, GoesItsWay) {
  Make();
  generation_->Start();
  EXPECT_THAT(decode_->prompt, ElementsAre(1, 2, 3));
  EXPECT_EQ(decode_->left, absl::Seconds(10));
  EXPECT_EQ(prefill_->runs, 0) << "nothing is computed before the ticket";
  generation_->OnTicket(1, 99);
  EXPECT_EQ(prefill_->ticket, 99u);
  EXPECT_EQ(prefill_->address, "d:1");
  clock_.Advance(absl::Seconds(2));
  First(10);
  clock_.Advance(absl::Seconds(3));
  generation_->OnPrefillEnded(1, absl::OkStatus());
  Step(1, {11, 12});
  Step(3, {13}, EndCause::kStopId);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13));
  EXPECT_EQ(recorder_->cause[0], EndCause::kStopId);
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().output_tokens, 4);
  EXPECT_EQ(End().time_to_first_token, absl::Seconds(2));
  EXPECT_EQ(End().transfer_exposed, absl::Seconds(3));
  EXPECT_EQ(End().prefill_phases.queue, absl::Seconds(1));
  EXPECT_EQ(decode_->cancels + prefill_->cancels, 0);
  EXPECT_EQ(decode_->events, nullptr) << "a finished request is let go of";
}

TEST_F(GenerationTest, StepsWaitForTheFirstToken) {
  StartAndRun();
  Step(1, {11, 12});
  Step(3, {13}, EndCause::kMaxTokens);
  EXPECT_THAT(recorder_->ids[0], IsEmpty());
  First(10);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13));
  EXPECT_EQ(recorder_->cause[0], EndCause::kMaxTokens);
  EXPECT_TRUE(End().status.ok());
}

TEST_F(GenerationTest, RepeatedTokensAreToldOnce) {
  StartAndRun();
  First(10);
  First(10);
  Step(1, {11, 12});
  Step(1, {11, 12});
  Step(2, {12, 13});
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13));
}

TEST_F(GenerationTest, LogProbabilitiesStayWithTheirTokens) {
  Make({}, 8, 0);
  generation_->Start();
  generation_->OnTicket(1, 99);
  const auto step = [this](int64_t first, const std::vector<TokenId>& ids) {
    generation_->OnStepTokens(1, 0, first, WithLogProbabilities(ids), EndCause::kNone,
                              std::nullopt);
  };
  step(1, {11, 12});
  generation_->OnFirstToken(1, 0, WithLogProbabilities({10}), EndCause::kNone, {});
  step(2, {12, 13, 14});  // one of them again
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10, 11, 12, 13, 14));
  EXPECT_THAT(recorder_->log_probabilities[0], ElementsAre(-10, -11, -12, -13, -14));
  Step(5, {15});  // without
  EXPECT_EQ(GetReason(End().status), Reason::kInvariant);
}

TEST_F(GenerationTest, AFirstTokenThatFinishesFreesTheTicket) {
  StartAndRun();
  First(10, EndCause::kStopId);
  EXPECT_EQ(recorder_->cause[0], EndCause::kStopId);
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(decode_->cancels, 1);
  EXPECT_EQ(prefill_->cancels, 0);
}

TEST_F(GenerationTest, EachFileIsBroughtOnceBeforeTheRun) {
  MediaItem a, b;
  a.content_hash = "a";
  b.content_hash = "b";
  Make({a, b, a});
  generation_->Start();
  generation_->OnTicket(1, 99);
  EXPECT_THAT(prefill_->uploads, ElementsAre("a"));
  prefill_->upload_done(absl::OkStatus());
  EXPECT_THAT(prefill_->uploads, ElementsAre("a", "b"));
  EXPECT_EQ(prefill_->runs, 0);
  prefill_->upload_done(absl::OkStatus());
  EXPECT_THAT(prefill_->uploads, ElementsAre("a", "b"));
  EXPECT_EQ(prefill_->runs, 1);
}

TEST_F(GenerationTest, AFailedUploadNamesTheField) {
  MediaItem item;
  item.kind = MediaKind::kImage;
  item.content_hash = "a";
  item.field = "messages[0].parts[2].image.data";
  Make({item});
  generation_->Start();
  generation_->OnTicket(1, 99);
  prefill_->upload_done(InvalidField(Reason::kMediaUndecodable, "image", "an intact file", "mud"));
  EXPECT_EQ(EndReason(), Reason::kMediaUndecodable);
  EXPECT_EQ(GetErrorDetail(End().status)->field, "messages[0].parts[2].image.data");
  EXPECT_EQ(decode_->cancels, 1);
}

TEST_F(GenerationTest, APrefillErrorNamesTheFieldOfTheRequest) {
  MediaItem first, second;
  first.content_hash = "a";
  second.content_hash = "b";
  first.kind = second.kind = MediaKind::kImage;
  first.field = "messages[0].parts[0].image.data";
  second.field = "messages[0].parts[1].image.data";
  Make({first, second});
  generation_->Start();
  generation_->OnTicket(1, 99);
  prefill_->upload_done(absl::OkStatus());
  prefill_->upload_done(absl::OkStatus());
  generation_->OnPrefillEnded(
      1, PrefixField(InvalidField(Reason::kMediaUndecodable, "image", "an intact file", "mud"),
                     "media[1]"));
  EXPECT_EQ(GetErrorDetail(End().status)->field, "messages[0].parts[1].image.data");
  EXPECT_EQ(End().status.message(),
            "messages[0].parts[1].image.data: found mud, allowed is an intact file");
}

TEST_F(GenerationTest, ARefusalIsPassedOn) {
  Make();
  generation_->Start();
  generation_->OnDecodeEnded(1, Draining());
  EXPECT_EQ(EndReason(), Reason::kDraining);
  EXPECT_EQ(prefill_->runs, 0);
  EXPECT_EQ(decode_->cancels, 0) << "it holds nothing";
}

TEST_F(GenerationTest, UntypedWorkerErrorsDoNotLeak) {
  StartAndRun();
  generation_->OnPrefillEnded(1, absl::InternalError("segfault at 0x7ffe"));
  EXPECT_EQ(EndReason(), Reason::kInvariant);
  EXPECT_EQ(End().status.message(), "a worker failed in a way it did not explain");
  EXPECT_EQ(decode_->cancels, 1);
}

TEST_F(GenerationTest, WorkersThatAreGoneBeforehand) {
  decode_->connected = false;
  Make();
  generation_->Start();
  EXPECT_EQ(EndReason(), Reason::kNoDecodeWorker);
  recorder_ = std::make_shared<Recorder>();
  decode_->connected = true;
  prefill_->connected = false;
  StartAndRun();
  EXPECT_EQ(EndReason(), Reason::kNoPrefillWorker);
  EXPECT_EQ(decode_->cancels, 1);
}

TEST_F(GenerationTest, LosingTheDecodeWorkerEndsIt) {
  StartAndRun();
  First(10);
  generation_->OnDecodeLost(1);
  EXPECT_EQ(EndReason(), Reason::kWorkerLost);
  EXPECT_EQ(prefill_->cancels, 1) << "it may still be sending KV";
  EXPECT_EQ(decode_->cancels, 0);
}

TEST_F(GenerationTest, LosingThePrefillWorkerMattersUntilTheKvIsThere) {
  StartAndRun();
  First(10);
  generation_->OnPrefillLost(1);
  EXPECT_EQ(EndReason(), Reason::kWorkerLost);
  EXPECT_EQ(decode_->cancels, 1);

  recorder_ = std::make_shared<Recorder>();
  StartAndRun();
  First(10);
  Step(1, {11});
  generation_->OnPrefillLost(1);
  generation_->OnPrefillEnded(1, absl::UnavailableError("its last words"));
  Step(2, {12}, EndCause::kMaxTokens);
  EXPECT_TRUE(End().status.ok());
}

TEST_F(GenerationTest, MessagesOfAnotherEpochAreIgnored) {
  StartAndRun();
  generation_->OnPrefillEnded(2, absl::InternalError("x"));
  generation_->OnDecodeEnded(0, absl::InternalError("x"));
  generation_->OnFirstToken(2, 0, {{5}, {}}, EndCause::kNone, {});
  generation_->OnStepTokens(2, 0, 0, {{6, 7}, {}}, EndCause::kMaxTokens, std::nullopt);
  EXPECT_FALSE(generation_->ended());
  EXPECT_TRUE(recorder_->ids[0].empty());
  First(10, EndCause::kMaxTokens);
  EXPECT_THAT(recorder_->ids[0], ElementsAre(10));
}

TEST_F(GenerationTest, ATicketOfAnotherEpochIsNotUsed) {
  Make();
  generation_->Start();
  generation_->OnTicket(2, 99);
  EXPECT_EQ(prefill_->runs, 0);
}

TEST_F(GenerationTest, TheDeadlineTellsThePhase) {
  const auto reason_after = [this](int events) {
    recorder_ = std::make_shared<Recorder>();
    Make();
    generation_->Start();
    if (events > 0) generation_->OnTicket(1, 99);
    if (events > 1) First(10);
    if (events > 2) Step(1, {11});
    generation_->OnDeadline();
    return EndReason();
  };
  EXPECT_EQ(reason_after(0), Reason::kQueueDeadline);
  EXPECT_EQ(reason_after(1), Reason::kPrefillDeadline);
  EXPECT_EQ(reason_after(2), Reason::kTransferDeadline);
  EXPECT_EQ(reason_after(3), Reason::kDecodeDeadline);
  EXPECT_EQ(decode_->cancels, 4);
  EXPECT_EQ(prefill_->cancels, 2) << "not before the run, not after the KV has arrived";
}

TEST_F(GenerationTest, ADeadlineThatAWorkerNoticesFirstTellsThePhaseToo) {
  const absl::Status late = MakeError(absl::StatusCode::kDeadlineExceeded, "late",
                                      {.reason = Reason::kTransferDeadline,
                                       .field = "",
                                       .limit = "",
                                       .actual = "",
                                       .retry_after = std::nullopt});
  StartAndRun();
  clock_.Advance(absl::Seconds(10) - absl::Milliseconds(1));
  generation_->OnDecodeEnded(1, late);
  EXPECT_EQ(EndReason(), Reason::kPrefillDeadline);

  recorder_ = std::make_shared<Recorder>();
  StartAndRun();
  First(10);
  clock_.Advance(absl::Seconds(10) - absl::Milliseconds(1));
  generation_->OnPrefillEnded(1, late);
  EXPECT_EQ(EndReason(), Reason::kTransferDeadline);
  EXPECT_NE(End().status.message(), "late");

  recorder_ = std::make_shared<Recorder>();
  StartAndRun();
  generation_->OnPrefillEnded(1, late);
  EXPECT_EQ(End().status, late) << "not the request's deadline: a transfer that stalled";
}

TEST_F(GenerationTest, AStopStringEndsItAndFreesTheDecodeWorker) {
  recorder_->enough_at[0] = 2;
  StartAndRun();
  First(10);
  Step(1, {11, 12});
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().output_tokens, 3);
  EXPECT_EQ(decode_->cancels, 1);
  EXPECT_EQ(decode_->reason, "finished");
}

TEST_F(GenerationTest, TooManyTokensAreAnError) {
  Make({}, /*output_tokens_max=*/2);
  generation_->Start();
  generation_->OnTicket(1, 99);
  First(10);
  Step(1, {11, 12});
  EXPECT_EQ(EndReason(), Reason::kInvariant);
  EXPECT_EQ(decode_->cancels, 1);
}

}  // namespace
}  // namespace cleave
