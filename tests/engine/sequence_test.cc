#include "engine/sequence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

using testing::Fails;

ModelConfig Config() {
  ModelConfig config{};
  config.vocabulary_size = 100;
  return config;
}

SequenceRequest Request() {
  return {.prompt_ids = {1, 2, 3, 4, 5, 6}, .stop_ids = {7}, .output_tokens_max = 4};
}

constexpr int64_t kContext = 16;

TEST(SequenceTest, AcceptsAnOrdinaryRequest) { EXPECT_OK(Request().Validate(Config(), kContext)); }

TEST(SequenceTest, RefusesIdsOutsideTheVocabulary) {
  for (const int32_t id : {-1, 100}) {
    SequenceRequest request = Request();
    request.prompt_ids[2] = id;
    EXPECT_THAT(request.Validate(Config(), kContext),
                Fails(absl::StatusCode::kInvalidArgument, "prompt_ids[2]"));
  }
}

TEST(SequenceTest, RefusesAPromptThatLeavesNoRoomForAToken) {
  SequenceRequest request = Request();
  request.prompt_ids.assign(kContext - 1, 1);
  EXPECT_OK(request.Validate(Config(), kContext));
  request.prompt_ids.push_back(1);
  const absl::Status status = request.Validate(Config(), kContext);
  EXPECT_EQ(GetReason(status), Reason::kContextTooLong);
  EXPECT_EQ(GetErrorDetail(status)->limit, "at most 15 tokens");
  EXPECT_EQ(GetErrorDetail(status)->actual, "16 tokens");
}

TEST(SequenceTest, RefusesMediaThatOverlapOrLeaveThePrompt) {
  const auto with = [](std::vector<SoftSpan> media) {
    SequenceRequest request = Request();
    request.media = std::move(media);
    return request.Validate(Config(), kContext);
  };
  EXPECT_OK(with({{.first_position = 0, .tokens = 2}, {.first_position = 2, .tokens = 4}}));
  EXPECT_FALSE(with({{.first_position = 0, .tokens = 0}}).ok());
  EXPECT_FALSE(with({{.first_position = 5, .tokens = 2}}).ok());
  EXPECT_FALSE(with({{.first_position = 2, .tokens = 2}, {.first_position = 3, .tokens = 1}}).ok());
}

TEST(SequenceTest, CacheBoundariesAscendInsideThePrompt) {
  const auto with = [](std::vector<int64_t> boundaries) {
    SequenceRequest request = Request();
    request.cache_boundaries = std::move(boundaries);
    return request.Validate(Config(), kContext);
  };
  EXPECT_OK(with({1, 6}));
  for (const std::vector<int64_t>& bad : {std::vector<int64_t>{0}, {7}, {3, 3}, {4, 2}}) {
    EXPECT_THAT(with(bad), Fails(absl::StatusCode::kInvalidArgument, "cache_boundaries"));
  }
  EXPECT_FALSE(with({1, 2, 3, 4, 5, 6, 6, 6, 6}).ok());
  SequenceRequest salted = Request();
  salted.cache_salt = std::string(65, 's');
  EXPECT_THAT(salted.Validate(Config(), kContext),
              Fails(absl::StatusCode::kInvalidArgument, "cache_salt"));
}

TEST(SequenceTest, RefusesSamplingOutOfRange) {
  const auto with = [](SamplingParameters sampling) {
    SequenceRequest request = Request();
    request.sampling = sampling;
    return request.Validate(Config(), kContext).ok();
  };
  EXPECT_TRUE(with({.temperature = 2, .top_p = 1, .min_p = 1}));
  EXPECT_FALSE(with({.temperature = 2.1f}));
  EXPECT_FALSE(with({.temperature = -0.1f}));
  EXPECT_FALSE(with({.temperature = std::nanf("")}));
  EXPECT_FALSE(with({.top_p = 0}));
  EXPECT_FALSE(with({.top_p = std::nanf("")}));
  EXPECT_FALSE(with({.min_p = 1.5f}));
  EXPECT_FALSE(with({.top_k = -1}));
}

TEST(SequenceTest, EmittedTokensFollowThePromptAndCountAsOutput) {
  SequenceRequest request = Request();
  request.emitted_ids = {50, 51};
  EXPECT_EQ(request.num_positions(), 8);
  EXPECT_EQ(request.token_at(5), 6);
  EXPECT_EQ(request.token_at(7), 51);
  request.output_tokens_max = 2;
  EXPECT_FALSE(request.Validate(Config(), kContext).ok());
}

TEST(SequenceTest, FinishesForOneReasonInAFixedOrder) {
  const SequenceRequest request = Request();
  EXPECT_EQ(CheckFinish(request, 9, 1, kContext), FinishCause::kNone);
  EXPECT_EQ(CheckFinish(request, 7, 4, kContext), FinishCause::kStopId);
  EXPECT_EQ(CheckFinish(request, 9, 4, kContext), FinishCause::kMaxTokens);
  EXPECT_EQ(CheckFinish(request, 9, 3, 9), FinishCause::kContextFull);
}

}  // namespace
}  // namespace cleave
