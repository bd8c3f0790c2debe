#include "gateway/answer_track.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/request_error.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AnswerTrackTest : public testing::Test {
 protected:
  // What can be told after these tokens.
  std::vector<TokenId> Add(int64_t first_index, std::vector<TokenId> ids,
                           EndCause finish = EndCause::kNone) {
    const absl::StatusOr<AnswerTokens> fresh =
        track_.Add(first_index, {std::move(ids), {}}, finish);
    EXPECT_TRUE(fresh.ok()) << fresh.status();
    return fresh.ok() ? fresh->ids : std::vector<TokenId>();
  }
  Reason Refusal(int64_t first_index, std::vector<TokenId> ids, EndCause finish = EndCause::kNone) {
    return GetReason(track_.Add(first_index, {std::move(ids), {}}, finish).status());
  }

  AnswerTrack track_{/*tokens_max=*/6, /*log_probabilities=*/false};
};

TEST_F(AnswerTrackTest, TokensWaitForThoseBeforeThem) {
  EXPECT_THAT(Add(3, {13}), IsEmpty());
  EXPECT_THAT(Add(1, {11, 12}), IsEmpty());
  EXPECT_THAT(Add(0, {10}), ElementsAre(10, 11, 12, 13));
  EXPECT_THAT(track_.told(), ElementsAre(10, 11, 12, 13));
  EXPECT_FALSE(track_.has_end());
}

TEST_F(AnswerTrackTest, RepeatedTokensAreToldOnce) {
  EXPECT_THAT(Add(0, {10, 11}), ElementsAre(10, 11));
  EXPECT_THAT(Add(0, {10, 11}), IsEmpty());
  EXPECT_THAT(Add(1, {11, 12}), ElementsAre(12));
}

TEST_F(AnswerTrackTest, TheCauseComesWithTheLastToken) {
  EXPECT_THAT(Add(1, {11}, EndCause::kStopId), IsEmpty());
  EXPECT_TRUE(track_.has_end());
  EXPECT_EQ(track_.cause(), EndCause::kNone) << "the first is not there";
  EXPECT_THAT(Add(0, {10}), ElementsAre(10, 11));
  EXPECT_EQ(track_.cause(), EndCause::kStopId);
}

TEST_F(AnswerTrackTest, LogProbabilitiesStayWithTheirTokens) {
  AnswerTrack track(6, /*log_probabilities=*/true);
  ASSERT_TRUE(track.Add(1, {{11, 12}, {{-11, {}}, {-12, {}}}}, EndCause::kNone).ok());
  const absl::StatusOr<AnswerTokens> fresh =
      track.Add(0, {{10, 11}, {{-10, {}}, {-11, {}}}}, EndCause::kNone);
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_THAT(fresh->ids, ElementsAre(10, 11, 12));
  ASSERT_EQ(fresh->log_probabilities.size(), 3u);
  EXPECT_EQ(fresh->log_probabilities[2].chosen, -12);
  EXPECT_EQ(GetReason(track.Add(3, {{13}, {}}, EndCause::kNone).status()), Reason::kInvariant);
}

TEST_F(AnswerTrackTest, RefusesWhatIsNoPartOfTheAnswer) {
  EXPECT_EQ(Refusal(-1, {10}), Reason::kInvariant);
  EXPECT_EQ(Refusal(5, {15, 16}), Reason::kInvariant) << "beyond tokens_max";
  EXPECT_THAT(Add(1, {11}, EndCause::kStopId), IsEmpty());
  EXPECT_EQ(Refusal(2, {12}), Reason::kInvariant) << "beyond its end";
}

TEST_F(AnswerTrackTest, NothingIsToldOnceItIsClosed) {
  EXPECT_THAT(Add(0, {10, 11}), ElementsAre(10, 11));
  track_.Close();
  EXPECT_THAT(Add(2, {12}), IsEmpty());
  EXPECT_FALSE(track_.has_end());
  EXPECT_THAT(Add(3, {13}, EndCause::kMaxTokens), IsEmpty());
  EXPECT_TRUE(track_.has_end()) << "the worker is done with it";
  EXPECT_THAT(track_.told(), ElementsAre(10, 11));
}

TEST_F(AnswerTrackTest, AnotherTryBeginsAgain) {
  EXPECT_THAT(Add(0, {10, 11}), ElementsAre(10, 11));
  EXPECT_THAT(Add(3, {13}, EndCause::kMaxTokens), IsEmpty());
  track_.BeginAgain(WorkerLost("decode"));
  EXPECT_FALSE(track_.has_end());
  EXPECT_THAT(Add(1, {11, 12}), ElementsAre(12)) << "what was told needs no other first token";
  EXPECT_THAT(Add(0, {10}), IsEmpty());
  EXPECT_THAT(Add(3, {13}, EndCause::kMaxTokens), ElementsAre(13));
  EXPECT_EQ(track_.cause(), EndCause::kMaxTokens);
}

TEST_F(AnswerTrackTest, AnotherAnswerIsAnError) {
  EXPECT_THAT(Add(0, {10, 11}), ElementsAre(10, 11));
  EXPECT_EQ(Refusal(1, {99}), Reason::kInvariant);
  track_.BeginAgain(WorkerLost("decode"));
  EXPECT_EQ(Refusal(0, {10, 99}), Reason::kWorkerLost) << "why it was tried again";
}

TEST_F(AnswerTrackTest, AnAnswerThatEndsEarlierIsAnother) {
  EXPECT_THAT(Add(0, {10, 11}), ElementsAre(10, 11));
  track_.BeginAgain(WorkerLost("prefill"));
  EXPECT_EQ(Refusal(0, {10}, EndCause::kStopId), Reason::kWorkerLost);
  EXPECT_EQ(Refusal(0, {10, 11}, EndCause::kStopId), Reason::kWorkerLost) << "it went on here";
}

}  // namespace
}  // namespace cleave
