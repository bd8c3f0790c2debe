// The tokens of two engines over the real KV link are those of the model run alone, whatever the
// chunks, and the bytes are those of the formula.
#include "tests/cluster/engine_pair.h"

#include <gtest/gtest.h>

#include <set>

#include "runtime/base/clock.h"

namespace cleave {
namespace {

using testing::Answer;
using testing::EnginePair;
using testing::Prompt;
using testing::PromptMaker;

std::vector<Prompt> Prompts(DType kv_dtype) {
  PromptMaker maker(kv_dtype);
  constexpr int kPicture = PromptMaker::kPicture, kSound = PromptMaker::kSound;
  return {maker.Make("one token", {}), maker.Make("text", {70}),
          maker.Make("picture", {5, kPicture, 9}), maker.Make("sound", {3, kSound, 4}),
          maker.Make("mixed", {12, kPicture, 6, kSound, 20, kPicture, 2})};
}

// One prefill and one transfer; each answer is that of its noise, however many there are.
TEST(CandidatesTest, ShareThePromptAndDifferByTheirNoise) {
  constexpr int kPicture = PromptMaker::kPicture;
  PromptMaker maker(DType::kFloat32);
  const SamplingParameters sampling{.temperature = 1.2f, .seed = 3};
  for (const std::vector<int>& parts : {std::vector<int>{50}, {7}, {5, kPicture, 9}}) {
    EnginePair pair(64);
    const Prompt one = maker.Make("one", parts, 0, sampling);
    const auto alone = std::make_shared<Answer>();
    pair.Ask(one.request, one.media, alone);
    EXPECT_EQ(alone->WaitForTokens(), one.expected);
    const Prompt eight = maker.WithCandidates(one, 8);
    const auto answers = std::make_shared<Answer>();
    pair.Ask(eight.request, eight.media, answers);
    EXPECT_EQ(answers->WaitForCandidates(), eight.candidates);
    EXPECT_EQ(eight.candidates.front(), one.expected);
    const std::set<std::vector<int32_t>> different(eight.candidates.begin(),
                                                   eight.candidates.end());
    EXPECT_GT(different.size(), 4u);
    EXPECT_EQ(answers->kv_bytes(), alone->kv_bytes());
    EXPECT_EQ(pair.unaccounted_pages(), 0);
  }
}

// Nobody wants more of it; the others do not notice.
TEST(CandidatesTest, OneMayBeCancelledAlone) {
  EnginePair pair(64);
  PromptMaker maker(DType::kFloat32);
  const Prompt three =
      maker.WithCandidates(maker.Make("three", {20}, 250, {.temperature = 1, .seed = 4}), 3);
  const auto answer = std::make_shared<Answer>();
  const RequestKey key = pair.Ask(three.request, {}, answer);
  answer->WaitForStep(0);
  pair.CancelCandidate(key, 0);  // whose pages the others share
  pair.CancelCandidate(key, 3);  // there is none
  answer->LeaveOneOut();
  const std::vector<std::vector<int32_t>> told = answer->WaitForCandidates();
  EXPECT_LT(told[0].size(), 250u);
  EXPECT_TRUE(std::equal(told[0].begin(), told[0].end(), three.candidates[0].begin()));
  EXPECT_EQ(told[1], three.candidates[1]);
  EXPECT_EQ(told[2], three.candidates[2]);
  EXPECT_EQ(pair.unaccounted_pages(), 0);
}

TEST(CandidatesTest, ThoseThatWouldNeverFitAreRefused) {
  constexpr int64_t kKvBytes = int64_t{1} << 20;  // 208 full pages of 8 tokens
  EnginePair pair(64, DType::kFloat32, kKvBytes);
  PromptMaker maker(DType::kFloat32);
  Prompt prompt = maker.Make("large", {300}, 200);
  prompt.request.candidates = 8;
  const auto answer = std::make_shared<Answer>();
  pair.Ask(prompt.request, {}, answer);
  ASSERT_EQ(GetReason(answer->failure()), Reason::kFieldInvalid) << answer->failure();
  EXPECT_EQ(GetErrorDetail(answer->failure())->field, "candidates");
}

// A small prompt that would fit must not overtake, again and again, a large one that waits for
// pages.
TEST(PrefillOrderTest, APromptThatWaitsForPagesIsNotOvertaken) {
  constexpr int64_t kKvBytes = int64_t{1} << 20;   // 85 pages of 8 tokens
  EnginePair pair(16, DType::kFloat32, kKvBytes);  // the last chunk of "first" leaves rows
  PromptMaker maker(DType::kFloat32);
  std::vector<std::shared_ptr<Answer>> answers;
  const std::vector<Prompt> prompts = {
      maker.Make("first", {300}), maker.Make("large", {450}),
      maker.Make("small", {1})};  // fits into the rows that "first" leaves
  for (const Prompt& prompt : prompts) {
    answers.push_back(std::make_shared<Answer>());
    pair.Ask(prompt.request, prompt.media, answers.back());
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i]->WaitForTokens(), prompts[i].expected) << prompts[i].name;
  }
  EXPECT_LT(answers[1]->rank(), answers[2]->rank());
}

TEST(PrefillOrderTest, AHigherPriorityIsComputedFirst) {
  EnginePair pair(16);
  PromptMaker maker(DType::kFloat32);
  const Prompt prompt = maker.Make("text", {450}, 4);
  std::vector<std::shared_ptr<Answer>> answers;
  for (const Priority priority : {Priority::kNormal, Priority::kLow, Priority::kHigh}) {
    answers.push_back(std::make_shared<Answer>());
    SequenceRequest request = prompt.request;
    request.priority = priority;
    pair.Ask(request, {}, answers.back());
  }
  for (const auto& answer : answers) EXPECT_EQ(answer->WaitForTokens(), prompt.expected);
  EXPECT_LT(answers[2]->rank(), answers[1]->rank());
}

// What waits for pages starts when the last that runs has left them, though nothing else happens.
TEST(ClaimsTest, ALargePromptStartsWhenTheOneBeforeHasLeft) {
  constexpr int64_t kKvBytes = int64_t{1} << 20;  // 85 pages of 8 tokens
  PromptMaker maker(DType::kFloat32);
  const Prompt prompt = maker.Make("large", {380});  // 48 pages
  for (const bool local : {false, true}) {
    EnginePair pair(64, DType::kFloat32, kKvBytes);
    std::vector<std::shared_ptr<Answer>> answers;
    for (int i = 0; i < 2; ++i) {
      answers.push_back(std::make_shared<Answer>());
      if (local) pair.AskLocally(prompt.request, answers.back());
      if (!local) pair.Ask(prompt.request, {}, answers.back());
    }
    for (const auto& answer : answers) {
      absl::Status status;
      std::vector<int32_t> tokens;
      answer->WaitForEnd(status, tokens);
      EXPECT_OK(status);
      EXPECT_EQ(tokens, prompt.expected);
    }
    EXPECT_EQ(pair.preemptions(), 0);
  }
}

// The gateway's cancel of one try may be carried out when the next has begun.
TEST(PrefillCancelTest, ACancelIsNotForALaterTry) {
  PromptMaker maker(DType::kFloat32);
  const Prompt prompt = maker.Make("text", {300});
  EnginePair pair(1);
  const absl::Time before = RealClock().Now() - absl::Milliseconds(1);
  const auto answer = std::make_shared<Answer>();
  pair.CancelPrefill(pair.Ask(prompt.request, {}, answer), before);
  EXPECT_EQ(answer->WaitForTokens(), prompt.expected);
}

class EnginePairTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(EnginePairTest, TokensAreThoseOfTheModelRunAlone) {
  EnginePair pair(GetParam());
  int64_t bytes = 0;
  for (const Prompt& prompt : Prompts(DType::kFloat32)) {
    SCOPED_TRACE(prompt.name);
    const auto answer = std::make_shared<Answer>();
    pair.Ask(prompt.request, prompt.media, answer);
    EXPECT_EQ(answer->WaitForTokens(), prompt.expected);
    EXPECT_EQ(answer->kv_bytes(),
              MakeTransferPlan(pair.shape(), prompt.request.num_positions()).total_bytes);
    bytes += answer->kv_bytes();
  }
  EXPECT_EQ(pair.BytesSentAndReceived(), std::make_pair(bytes, bytes));
}

TEST_P(EnginePairTest, TokensAreTheSameInCompany) {
  EnginePair pair(GetParam(), DType::kBFloat16);
  const std::vector<Prompt> prompts = Prompts(DType::kBFloat16);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int round = 0; round < 3; ++round) {
    for (const Prompt& prompt : prompts) {
      answers.push_back(std::make_shared<Answer>());
      pair.Ask(prompt.request, prompt.media, answers.back());
    }
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    const Prompt& prompt = prompts[i % prompts.size()];
    EXPECT_EQ(answers[i]->WaitForTokens(), prompt.expected) << prompt.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Chunks, EnginePairTest, ::testing::Values(1, 7, 64, 1120));

// The formula of the hand-over, written out: all pages of the full layers, and of the sliding
// layers the pages of the last window - 1 positions.
TEST(EnginePairFormulaTest, BytesOnTheWireAreTheFormula) {
  EnginePair pair(64, DType::kBFloat16);
  const Prompt prompt = PromptMaker(DType::kBFloat16).Make("text", {100});
  const auto answer = std::make_shared<Answer>();
  pair.Ask(prompt.request, {}, answer);
  answer->WaitForTokens();
  // 101 positions, window 32: pages of 8 that hold positions 0 to 100, and 70 to 100. Bfloat16;
  // full layer: 1 head of 32 with 8 rotated dimensions stored twice, sliding layers: 5 with 2 heads
  // of 16.
  constexpr int64_t kFullBytes = 13 * 1 * (1 * 8 * (32 + 8) * 2);
  constexpr int64_t kSlidingBytes = 5 * 5 * (2 * 2 * 8 * 16 * 2);
  constexpr int64_t kBytes = kFullBytes + kSlidingBytes;
  EXPECT_EQ(answer->kv_bytes(), kBytes);
  EXPECT_EQ(pair.BytesSentAndReceived(), std::make_pair(kBytes, kBytes));
}

}  // namespace
}  // namespace cleave
