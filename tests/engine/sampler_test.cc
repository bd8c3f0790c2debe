#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "engine/portable_math.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

constexpr int kVocabulary = 50;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(kVocabulary);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

std::set<int32_t> Drawn(Sampler& sampler, const std::vector<float>& logits,
                        SamplingParameters sampling, int draws) {
  std::set<int32_t> ids;
  for (int i = 0; i < draws; ++i) {
    ids.insert(sampler.Choose(logits, sampling, {.candidate = 0, .position = i}));
  }
  return ids;
}

TEST(SamplerTest, GreedyTakesTheLargestAndTheLowestIdOnATie) {
  Sampler sampler(4, {});
  EXPECT_EQ(sampler.Choose({1, 3, 3, 2}, {.temperature = 0}, {}), 1);
}

TEST(SamplerTest, SuppressedIdsNeverWin) {
  Sampler sampler(4, {1, 2});
  EXPECT_EQ(sampler.Choose({1, 9, 9, 2}, {.temperature = 0}, {}), 3);
  for (int position = 0; position < 100; ++position) {
    const int32_t id = sampler.Choose({1, 9, 9, 2}, {.temperature = 1}, {0, position});
    EXPECT_TRUE(id == 0 || id == 3) << id;
  }
}

TEST(SamplerTest, TheChoiceDependsOnItsPlaceOnly) {
  Sampler a(kVocabulary, {}), b(kVocabulary, {});
  const std::vector<float> logits = RandomLogits(1);
  const SamplingParameters sampling{.temperature = 1, .seed = 42};
  std::vector<int32_t> forwards, backwards;
  for (int p = 0; p < 64; ++p) forwards.push_back(a.Choose(logits, sampling, {0, p}));
  for (int p = 63; p >= 0; --p) backwards.push_back(b.Choose(logits, sampling, {0, p}));
  std::reverse(backwards.begin(), backwards.end());
  EXPECT_EQ(forwards, backwards);
}

TEST(SamplerTest, SeedCandidateAndPositionEachChangeTheNoise) {
  const double noise = GumbelNoise(7, {.candidate = 1, .position = 5}, 9);
  EXPECT_NE(noise, GumbelNoise(8, {.candidate = 1, .position = 5}, 9));
  EXPECT_NE(noise, GumbelNoise(7, {.candidate = 2, .position = 5}, 9));
  EXPECT_NE(noise, GumbelNoise(7, {.candidate = 1, .position = 6}, 9));
  EXPECT_NE(noise, GumbelNoise(7, {.candidate = 1, .position = 5}, 10));
  EXPECT_NE(noise, GumbelNoise(7ull | 1ull << 40, {.candidate = 1, .position = 5}, 9));
  EXPECT_EQ(noise, GumbelNoise(7, {.candidate = 1, .position = 5}, 9));
}

// Pearson's chi-square over 20,000 draws; the bound is the 99.99 % point for 49 degrees of freedom.
TEST(SamplerTest, DrawsFollowTheSoftmax) {
  constexpr int kDraws = 20000;
  constexpr double kBound = 94.0;
  for (const float temperature : {0.7f, 1.0f, 1.5f}) {
    Sampler sampler(kVocabulary, {});
    const std::vector<float> logits = RandomLogits(3);
    std::vector<int> counts(kVocabulary, 0);
    for (int p = 0; p < kDraws; ++p) {
      ++counts[static_cast<size_t>(
          sampler.Choose(logits, {.temperature = temperature, .seed = 11}, {0, p}))];
    }
    double total = 0;
    for (const float logit : logits) total += std::exp(logit / temperature);
    double chi_square = 0;
    for (size_t i = 0; i < kVocabulary; ++i) {
      const double expected = kDraws * std::exp(logits[i] / temperature) / total;
      chi_square += std::pow(counts[i] - expected, 2) / expected;
    }
    EXPECT_LT(chi_square, kBound) << "temperature " << temperature;
  }
}

TEST(SamplerTest, TopKKeepsTheLargestAndTiesWithTheLast) {
  Sampler sampler(5, {});
  const std::vector<float> logits{5, 4, 4, 4, 3};
  EXPECT_THAT(Drawn(sampler, logits, {.temperature = 2, .top_k = 1}, 200),
              ::testing::ElementsAre(0));
  EXPECT_THAT(Drawn(sampler, logits, {.temperature = 2, .top_k = 2}, 500),
              ::testing::ElementsAre(0, 1, 2, 3));
}

// Two distributions that are draft and target to each other: draws with the same noise agree at
// least (1 - TV) / (1 + TV) of the time, TV their total variation distance; more often than the
// likeliest draft is drawn.
TEST(SamplerTest, EqualNoiseMakesDraftsOfDrawsRight) {
  constexpr int kDraws = 20'000;
  Sampler sampler(kVocabulary, {});
  const std::vector<float> target = RandomLogits(3);
  std::vector<float> draft = RandomLogits(4);
  for (size_t i = 0; i < draft.size(); ++i) draft[i] = target[i] + 0.3f * draft[i];
  double target_sum = 0, draft_sum = 0, distance = 0;
  for (const float logit : target) target_sum += std::exp(logit);
  for (const float logit : draft) draft_sum += std::exp(logit);
  for (size_t i = 0; i < draft.size(); ++i) {
    distance += std::abs(std::exp(target[i]) / target_sum - std::exp(draft[i]) / draft_sum) / 2;
  }
  const int32_t likeliest = sampler.Choose(draft, {.temperature = 0}, {});
  int same_noise = 0, arg_max = 0;
  for (int position = 0; position < kDraws; ++position) {
    const SamplingParameters sampling{.temperature = 1, .seed = 9};
    const int32_t drawn = sampler.Choose(target, sampling, {.position = position});
    same_noise += drawn == sampler.Choose(draft, sampling, {.position = position}) ? 1 : 0;
    arg_max += drawn == likeliest ? 1 : 0;
  }
  RecordProperty("same_noise_percent", 100 * same_noise / kDraws);
  RecordProperty("arg_max_percent", 100 * arg_max / kDraws);
  EXPECT_GE(same_noise, ((1 - distance) / (1 + distance) - 0.01) * kDraws);
  EXPECT_GT(same_noise, 2 * arg_max);
}

TEST(SamplerTest, TopPKeepsTheSmallestSetThatReachesTheShare) {
  Sampler sampler(4, {});
  // Probabilities 0.5, 0.3, 0.15, 0.05.
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  const auto kept = [&](float top_p) {
    return Drawn(sampler, logits, {.temperature = 1, .top_p = top_p}, 1000);
  };
  EXPECT_THAT(kept(0.4f), ::testing::ElementsAre(0));
  EXPECT_THAT(kept(0.6f), ::testing::ElementsAre(0, 1));
  EXPECT_THAT(kept(0.9f), ::testing::ElementsAre(0, 1, 2));
  EXPECT_THAT(kept(1.0f), ::testing::ElementsAre(0, 1, 2, 3));
}

TEST(SamplerTest, TopPIsMeasuredAmongWhatTopKHasLeft) {
  Sampler sampler(4, {});
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  // Of the two kept, the first has 0.625: enough for 0.6.
  EXPECT_THAT(Drawn(sampler, logits, {.temperature = 1, .top_k = 2, .top_p = 0.6f}, 500),
              ::testing::ElementsAre(0));
}

TEST(SamplerTest, MinPIsRelativeToTheLikeliest) {
  Sampler sampler(4, {});
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  EXPECT_THAT(Drawn(sampler, logits, {.temperature = 1, .min_p = 0.5f}, 500),
              ::testing::ElementsAre(0, 1));
}

const std::vector<SamplingParameters> kFilters = {
    {},
    {.top_k = 3},
    {.top_p = 0.5f},
    {.min_p = 0.1f},
    {.top_p = std::numeric_limits<float>::denorm_min()},
    {.min_p = std::numeric_limits<float>::denorm_min()},
    {.min_p = 1},
    {.top_k = 40, .top_p = 0.95f, .min_p = 0.02f}};

// Scores become infinite, by the division or before it: one of the largest wins.
TEST(SamplerTest, NearlyGreedyAndInfiniteLogitsChooseALargest) {
  std::vector<float> ties = RandomLogits(6), negative = RandomLogits(7), zero = negative;
  ties[7] = ties[30] = 9;
  for (float& logit : negative) logit = -1 - std::abs(logit);
  zero = negative;
  zero[13] = 0;
  std::vector<float> infinite = RandomLogits(8), never(kVocabulary, -kInfinity), one = never;
  infinite[3] = infinite[20] = kInfinity;
  infinite[4] = infinite[21] = -kInfinity;
  one[9] = -3;
  Sampler sampler(kVocabulary, {});
  for (const auto& logits : {RandomLogits(5), ties, negative, zero, infinite, never, one}) {
    const float largest = *std::max_element(logits.begin(), logits.end());
    for (const float temperature : {0.0f, 1e-45f, 1e-40f, 1e-38f, 1e-20f, 1.0f}) {
      if (temperature == 1 && std::isfinite(largest) && largest != -3) continue;  // any may win
      for (SamplingParameters sampling : kFilters) {
        sampling.temperature = temperature;
        for (int position = 0; position < 20; ++position) {
          const int32_t id = sampler.Choose(logits, sampling, {0, position});
          ASSERT_EQ(logits[static_cast<size_t>(id)], largest)
              << temperature << " " << sampling.top_k << " " << sampling.top_p << " "
              << sampling.min_p;
        }
      }
    }
  }
}

// What Choose does without its short cuts: everything is sorted, summed in this order, drawn for.
int32_t ChoosePlainly(const std::vector<float>& logits, const SamplingParameters& sampling,
                      TokenPlace place) {
  std::vector<std::pair<float, int32_t>> kept;  // minus score, id
  for (size_t i = 0; i < logits.size(); ++i) {
    kept.emplace_back(-logits[i] / sampling.temperature, static_cast<int32_t>(i));
  }
  std::sort(kept.begin(), kept.end());
  const double largest = -kept.front().first;
  const auto k = static_cast<size_t>(sampling.top_k);
  if (k > 0 && k < kept.size()) {
    const float last = kept[k - 1].first;
    std::erase_if(kept, [&](const auto& c) { return c.first > last; });
  }
  if (sampling.top_p < 1) {
    double total = 0, reached = 0;
    for (const auto& [minus_score, id] : kept) total += PortableExp(-minus_score - largest);
    size_t count = 0;
    while (count < kept.size() && reached < sampling.top_p * total) {
      reached += PortableExp(-kept[count++].first - largest);
    }
    kept.resize(count);
  }
  if (sampling.min_p > 0) {
    const double least = largest + PortableLog(double{sampling.min_p});
    std::erase_if(kept, [&](const auto& c) { return -c.first < least; });
  }
  std::pair<double, int32_t> best{kInfinity, -1};  // minus score with noise, id
  for (const auto& [minus_score, id] : kept) {
    best = std::min(best, {minus_score - GumbelNoise(sampling.seed, place, id), id});
  }
  return best.second;
}

TEST(SamplerTest, WalkChoosesWhatThePlainWayChooses) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 3000; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    const auto any_of = [&](std::initializer_list<float> values) {
      return values.begin()[walk.Below(static_cast<int>(values.size()))];
    };
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal(0, any_of({0.01f, 1, 5, 40}));
    std::vector<float> logits(static_cast<size_t>(walk.Between(1, 600)));
    const float grain = any_of({0, 0, 0.25f, 4});  // of logits, so that there are ties
    for (float& logit : logits) {
      logit = normal(random);
      if (grain > 0) logit = std::round(logit / grain) * grain;
    }
    Sampler sampler(static_cast<int>(logits.size()), {});
    for (int position = 0; position < 10; ++position) {
      const SamplingParameters sampling{
          .temperature = any_of({0.01f, 0.3f, 1, 1, 2}),
          .top_k = static_cast<int>(any_of({0, 0, 1, 20, 64})),
          .top_p = any_of({1, 1, 0.999999f, 0.95f, 0.75f, 0.5f, 0.01f, 1e-30f}),
          .min_p = any_of({0, 0, 0.02f, 1}),
          .seed = seed};
      const TokenPlace place{.candidate = 1, .position = position};
      ASSERT_EQ(sampler.Choose(logits, sampling, place), ChoosePlainly(logits, sampling, place))
          << sampling.temperature << " " << sampling.top_k << " " << sampling.top_p << " "
          << sampling.min_p;
    }
  }
}

// One likeliest, and equals below it of which some reach the share but for an error of rounding.
TEST(SamplerTest, TopPIsPlainWhereTheErrorOfTheSumsCounts) {
  struct Edge {
    size_t equals;
    float below, top_p;
  };
  for (const Edge& edge : {Edge{77, 3.103515625f, 0.234458461f},
                           {71, 3.84326171875f, 0.821546137f},
                           {100, 2.4554443359375f, 0.149139002f}}) {
    std::vector<float> logits(edge.equals + 1, -edge.below);
    logits[0] = 0;
    Sampler sampler(static_cast<int>(logits.size()), {});
    const SamplingParameters sampling{.temperature = 1, .top_p = edge.top_p};
    for (int position = 0; position < 1000; ++position) {
      ASSERT_EQ(sampler.Choose(logits, sampling, {0, position}),
                ChoosePlainly(logits, sampling, {0, position}))
          << edge.equals;
    }
  }
}

}  // namespace
}  // namespace cleave
