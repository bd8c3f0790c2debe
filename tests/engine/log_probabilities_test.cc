#include "engine/log_probabilities.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/token_choice.h"

namespace cleave {
namespace {

std::vector<int32_t> Ids(const PlaceLogProbabilities& place) {
  std::vector<int32_t> ids;
  for (const TokenLogProbability& token : place.top) ids.push_back(token.id);
  return ids;
}

TEST(LogProbabilitiesTest, AreThoseOfTheSoftmax) {
  const std::vector<float> logits{1, 3, -2, 0.5f};
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit);
  for (int32_t id = 0; id < 4; ++id) {
    const PlaceLogProbabilities place = LogProbabilities(logits, id, 4);
    EXPECT_NEAR(place.chosen, logits[static_cast<size_t>(id)] - std::log(sum), 1e-6);
    ASSERT_EQ(Ids(place), (std::vector<int32_t>{1, 0, 3, 2}));
    for (const auto& [top_id, value] : place.top) {
      EXPECT_NEAR(value, logits[static_cast<size_t>(top_id)] - std::log(sum), 1e-6);
    }
  }
}

TEST(LogProbabilitiesTest, TheLowestIdComesFirstOnATie) {
  EXPECT_EQ(Ids(LogProbabilities({2, 5, 2, 5, 2}, 0, 3)), (std::vector<int32_t>{1, 3, 0}));
}

TEST(LogProbabilitiesTest, NoneOfTheLikeliestAndMoreThanThereAre) {
  EXPECT_TRUE(LogProbabilities({1, 2}, 0, 0).top.empty());
  EXPECT_EQ(LogProbabilities({1, 2}, 0, 20).top.size(), 2u);
}

// Whatever rules, filters and temperature choose.
TEST(LogProbabilitiesTest, OfAChoiceAreTheModelsOwn) {
  SequenceRequest request;
  request.rules.logit_bias = {{0, -100}, {2, 100}};
  request.sampling = {.temperature = 0.1f, .top_k = 1};
  request.log_probabilities = 2;
  const std::vector<float> raw{5, 2, 1, 3};
  std::vector<float> logits = raw;
  Sampler sampler(4, {});
  const TokenChoice choice =
      ChooseToken(absl::MakeSpan(logits), request, LogitRules(request), 0, sampler);
  EXPECT_EQ(choice.id, 2);
  EXPECT_EQ(choice.log_probabilities->chosen, LogProbabilities(raw, 2, 2).chosen);
  EXPECT_EQ(Ids(*choice.log_probabilities), (std::vector<int32_t>{0, 3}));
}

}  // namespace
}  // namespace cleave
