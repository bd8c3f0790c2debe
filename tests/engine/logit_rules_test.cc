#include "engine/logit_rules.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/token_choice.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

constexpr int32_t kBegin = 6, kEnd = 7;

// Vocabulary of 8; prompt 1 2 2; stop id 3.
SequenceRequest Request() {
  SequenceRequest request;
  request.prompt_ids = {1, 2, 2};
  request.stop_ids = {3};
  request.output_tokens_max = 10;
  return request;
}

std::vector<float> Applied(const LogitRules& rules, std::vector<float> logits) {
  rules.Apply(absl::MakeSpan(logits));
  return logits;
}

TEST(LogitRulesTest, DefaultsChangeNothing) {
  const SequenceRequest request = Request();
  LogitRules rules(request);
  rules.Push(1);
  EXPECT_EQ(Applied(rules, {1, -1, 2, 0}), (std::vector<float>{1, -1, 2, 0}));
}

TEST(LogitRulesTest, BiasIsAdded) {
  SequenceRequest request = Request();
  request.rules.logit_bias = {{0, 2.5f}, {3, -100}};
  EXPECT_EQ(Applied(LogitRules(request), {1, 1, 1, 1}), (std::vector<float>{3.5f, 1, 1, -99}));
}

TEST(LogitRulesTest, RepetitionCountsPromptAndAnswer) {
  SequenceRequest request = Request();
  request.rules.repetition_penalty = 2;
  LogitRules rules(request);
  rules.Push(4);
  EXPECT_EQ(Applied(rules, {3, 3, -3, 3, 3, 3}), (std::vector<float>{3, 1.5f, -6, 3, 1.5f, 3}));
}

TEST(LogitRulesTest, PresenceAndFrequencyCountTheAnswerAlone) {
  SequenceRequest request = Request();
  request.rules.presence_penalty = 0.5f;
  request.rules.frequency_penalty = 0.25f;
  request.emitted_ids = {4};
  LogitRules rules(request);
  rules.Push(4);
  rules.Push(5);
  EXPECT_EQ(Applied(rules, {3, 3, 3, 3, 3, 3}), (std::vector<float>{3, 3, 3, 3, 2, 2.25f}));
}

TEST(LogitRulesTest, NoStopBeforeTheLeastLength) {
  SequenceRequest request = Request();
  request.rules.output_tokens_min = 2;
  LogitRules rules(request);
  rules.Push(1);
  EXPECT_EQ(Applied(rules, {0, 0, 0, 9})[3], -INFINITY);
  rules.Push(1);
  EXPECT_EQ(Applied(rules, {0, 0, 0, 9})[3], 9);
}

TEST(LogitRulesTest, AThoughtIsEndedByForce) {
  SequenceRequest request = Request();
  request.rules.thought_tokens_max = 2;
  request.rules.thought_begin_id = kBegin;
  request.rules.thought_end_id = kEnd;
  LogitRules rules(request);
  Sampler sampler(8, {});
  const auto next = [&] {
    std::vector<float> logits{0, 9, 1, 2, 3, 4, 5, -20};
    return ChooseToken(absl::MakeSpan(logits), request, rules, 0, sampler).id;
  };
  rules.Push(1);
  rules.Push(1);
  rules.Push(1);
  EXPECT_EQ(next(), 1);  // outside a thought nothing is counted
  rules.Push(kBegin);
  rules.Push(1);
  EXPECT_EQ(next(), 1);
  rules.Push(1);
  EXPECT_EQ(next(), kEnd);
  rules.Push(kEnd);
  EXPECT_EQ(next(), 1);
  rules.Push(kBegin);  // another thought has nothing left
  EXPECT_EQ(next(), kEnd);
}

TEST(LogitRulesTest, APromptMayEndInsideAThought) {
  SequenceRequest request = Request();
  request.rules.thought_tokens_max = 0;
  request.rules.thought_begin_id = kBegin;
  request.rules.thought_end_id = kEnd;
  request.rules.starts_in_thought = true;
  const std::vector<float> logits = Applied(LogitRules(request), std::vector<float>(8, 1.0f));
  EXPECT_EQ(std::max_element(logits.begin(), logits.end()) - logits.begin(), kEnd);
}

// A penalty may make logits infinite in both directions; some token is chosen all the same.
TEST(LogitRulesTest, TheSmallestPenaltiesLeaveAChoice) {
  for (const float penalty : {1e-45f, 1e-38f, 1e-20f}) {
    SequenceRequest request = Request();
    request.rules.repetition_penalty = penalty;
    request.rules.presence_penalty = 2;
    LogitRules rules(request);
    rules.Push(1);
    Sampler sampler(8, {});
    for (const SamplingParameters& sampling : {SamplingParameters{},
                                               {.temperature = 0.5f, .top_p = 0.9f},
                                               {.temperature = 1e-40f, .top_k = 4},
                                               {.temperature = 2, .min_p = 0.1f}}) {
      request.sampling = sampling;
      std::vector<float> logits{25, 20, 5, -3, 4, 3, 2, 1};
      const int32_t id = ChooseToken(absl::MakeSpan(logits), request, rules, 4, sampler).id;
      EXPECT_TRUE(id == 1 || id == 2) << id << " of the prompt is the likeliest by far";
    }
  }
}

// Random answers with drafts pushed and taken back: the rules are those of a sequence that never
// had a draft, and those of a replay.
TEST(LogitRulesTest, WalkDraftsLeaveNoTrace) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    SequenceRequest request = Request();
    request.rules = {.repetition_penalty = 1.5f,
                     .presence_penalty = 0.5f,
                     .frequency_penalty = 0.125f,
                     .output_tokens_min = walk.Below(10),
                     .thought_tokens_max = walk.Below(6),
                     .thought_begin_id = kBegin,
                     .thought_end_id = kEnd};
    LogitRules drafting(request), plain(request);
    std::vector<int32_t> answer;
    const std::vector<float> logits{1, -2, 3, -4, 5, -6, 7, -8};
    for (int step = 0; step < 30; ++step) {
      const LogitRules::Mark mark = drafting.mark();
      std::vector<int32_t> drafts;
      for (int i = walk.Below(6); i > 0; --i) drafts.push_back(walk.Below(8));
      for (const int32_t draft : drafts) drafting.Push(draft);
      drafting.TakeBack(mark, drafts);
      ASSERT_EQ(Applied(drafting, logits), Applied(plain, logits)) << step;
      answer.push_back(walk.Below(8));
      drafting.Push(answer.back());
      plain.Push(answer.back());
      SequenceRequest replay = request;
      replay.emitted_ids = answer;
      ASSERT_EQ(Applied(LogitRules(replay), logits), Applied(plain, logits)) << step;
    }
  }
}

}  // namespace
}  // namespace cleave
