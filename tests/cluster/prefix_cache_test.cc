// A prompt that begins like an earlier one is answered with the same tokens, and with the same
// bytes to the decode worker, whether its beginning was kept or is computed again.
#include <gtest/gtest.h>

#include "tests/cluster/engine_pair.h"

namespace cleave {
namespace {

using testing::Answer;
using testing::EnginePair;
using testing::Prompt;
using testing::PromptMaker;

constexpr int kPicture = PromptMaker::kPicture, kSound = PromptMaker::kSound;

// Asks, and checks tokens and bytes. Returns how many positions were not computed.
int64_t Ask(EnginePair& pair, const Prompt& prompt) {
  const auto answer = std::make_shared<Answer>();
  pair.Ask(prompt.request, prompt.media, answer);
  EXPECT_EQ(answer->WaitForTokens(), prompt.expected) << prompt.name;
  EXPECT_EQ(answer->kv_bytes(),
            MakeTransferPlan(pair.shape(), prompt.request.num_positions()).total_bytes);
  return answer->cached_tokens();
}

// The positions at which a prompt may be cut.
std::vector<int64_t> Cuts(const SequenceRequest& request) {
  std::vector<int64_t> cuts;
  for (int64_t cut = 1; cut < request.num_positions(); ++cut) {
    const bool inside = std::any_of(
        request.media.begin(), request.media.end(),
        [cut](const SoftSpan& span) { return span.first_position < cut && cut < span.end(); });
    if (!inside) cuts.push_back(cut);
  }
  return cuts;
}

class PrefixCacheEqualityTest : public ::testing::TestWithParam<DType> {};

// Every place at which each prompt can be kept, one after another in one worker.
TEST_P(PrefixCacheEqualityTest, AHitAnywhereGivesTheSameTokensAsComputing) {
  PromptMaker maker(GetParam());
  const std::vector<Prompt> prompts = {
      maker.Make("text", {60}), maker.Make("picture", {5, kPicture, 9}),
      maker.Make("sound", {3, kSound, 4}),
      maker.Make("mixed", {12, kPicture, 6, kSound, 20, kPicture, 2})};
  EnginePair pair(16, GetParam());
  int salt = 0;
  for (Prompt prompt : prompts) {
    for (const int64_t cut : Cuts(prompt.request)) {
      SCOPED_TRACE(absl::StrCat(prompt.name, " cut at ", cut));
      prompt.request.cache_salt = absl::StrCat(++salt);  // nothing is shared with the last cut
      prompt.request.cache_boundaries = {cut};
      EXPECT_EQ(Ask(pair, prompt), 0);
      EXPECT_EQ(Ask(pair, prompt), cut);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PrefixCacheEqualityTest,
                         ::testing::Values(DType::kFloat32, DType::kBFloat16));

// Conversations that grow turn by turn in a pool that is too small for all of them: hits, misses
// and evictions in every order, and several at a time.
TEST(PrefixCacheTest, GrowingConversationsSurviveEviction) {
  PromptMaker maker(DType::kFloat32);
  std::vector<std::vector<Prompt>> conversations;
  for (const std::vector<int>& first :
       {std::vector<int>{40}, {10, kPicture, 8}, {6, kSound, 30}, {90}}) {
    std::vector<Prompt> turns;
    turns.reserve(4);
    for (int turn = 0; turn < 4; ++turn) {
      turns.push_back(turn == 0 ? maker.Make("turn 0", first)
                                : maker.Continue(turns.back(), absl::StrCat("turn ", turn), {23}));
    }
    conversations.push_back(std::move(turns));
  }
  constexpr int64_t kKvBytes = int64_t{1} << 20;  // 85 pages of 8 tokens
  EnginePair pair(16, DType::kFloat32, kKvBytes);
  int64_t cached = 0;
  for (int round = 0; round < 3; ++round) {
    for (size_t turn = 0; turn < 4; ++turn) {
      std::vector<std::shared_ptr<Answer>> answers;
      for (const std::vector<Prompt>& turns : conversations) {
        answers.push_back(std::make_shared<Answer>());
        pair.Ask(turns[turn].request, turns[turn].media, answers.back());
      }
      for (size_t i = 0; i < answers.size(); ++i) {
        EXPECT_EQ(answers[i]->WaitForTokens(), conversations[i][turn].expected)
            << "conversation " << i << ", turn " << turn << ", round " << round;
        cached += answers[i]->cached_tokens();
      }
    }
  }
  EXPECT_GT(cached, 0);
  EXPECT_GT(pair.cache_evictions(), 0);
}

TEST(PrefixCacheTest, NothingIsSharedAcrossSalts) {
  PromptMaker maker(DType::kFloat32);
  Prompt prompt = maker.Make("text", {40});
  prompt.request.cache_boundaries = {30};
  prompt.request.cache_salt = "one";
  EnginePair pair(16);
  EXPECT_EQ(Ask(pair, prompt), 0);
  prompt.request.cache_salt = "other";
  EXPECT_EQ(Ask(pair, prompt), 0);
  prompt.request.cache_salt = "one";
  EXPECT_EQ(Ask(pair, prompt), 30);
}

}  // namespace
}  // namespace cleave
