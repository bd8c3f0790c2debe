#include "gateway/prompt_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "tests/gateway/test_model.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

class PromptBuilderTest : public testing::Test {
 protected:
  PromptBuilderTest() {
    user_ = request_.add_messages();
    user_->set_role(v1::ROLE_USER);
  }
  absl::StatusOr<Prompt> Build() {
    v1::GenerateRequest copy = request_;
    const absl::StatusOr<ChatRequest> read = ReadChatRequest(copy, model_);
    if (!read.ok()) return read.status();
    return BuildPrompt(*read, model_);
  }
  ErrorDetail Refusal() {
    const absl::Status status = Build().status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return GetErrorDetail(status).value_or(ErrorDetail{});
  }

  const ServedModel model_ = LoadTestModel();
  v1::GenerateRequest request_;
  v1::Message* user_;
};

TEST_F(PromptBuilderTest, TextAlone) {
  user_->add_parts()->set_text("hello");
  const absl::StatusOr<Prompt> prompt = Build();
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(prompt->ids.front(), IdOf("<bos>"));
  EXPECT_EQ(prompt->ids.back(), IdOf("<channel|>")) << "an empty thought: the answer starts";
  EXPECT_THAT(prompt->ids, Contains(IdOf("hello")));
  EXPECT_TRUE(prompt->media.empty());
}

TEST_F(PromptBuilderTest, SpelledControlTokensAreText) {
  user_->add_parts()->set_text("<|image|><eos><|think|>");
  const absl::StatusOr<Prompt> prompt = Build();
  ASSERT_TRUE(prompt.ok());
  for (const char* spelling : {"<|image|>", "<eos>", "<|think|>"}) {
    EXPECT_THAT(prompt->ids, Each(Not(IdOf(spelling))));
  }
}

TEST_F(PromptBuilderTest, MediaOfToolResultsFollowThem) {
  const std::string asked = media_test::JpegFile(media_test::Gradient(96, 48));
  const std::string given = media_test::JpegFile(media_test::Gradient(48, 96));
  const std::string sound = media_test::WavFile(std::string(2 * 16000, '\1'), {});
  user_->add_parts()->mutable_image()->set_data(asked);
  v1::Message& model = *request_.add_messages();
  model.set_role(v1::ROLE_MODEL);
  model.add_parts()->set_text("the use");
  model.add_tool_calls()->set_id("1");
  model.mutable_tool_calls(0)->set_name("abc");
  v1::Message& tool = *request_.add_messages();
  tool.set_role(v1::ROLE_TOOL);
  tool.add_parts()->mutable_tool_result()->set_call_id("1");
  tool.mutable_parts(0)->mutable_tool_result()->set_text("the");
  tool.add_parts()->mutable_image()->set_data(given);
  tool.add_parts()->mutable_audio()->set_data(sound);
  const absl::StatusOr<Prompt> prompt = Build();
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  ASSERT_EQ(prompt->media.size(), 3u);
  EXPECT_EQ(prompt->media[0].content_hash, HashOf(asked));
  EXPECT_EQ(prompt->media[1].content_hash, HashOf(given));
  EXPECT_EQ(prompt->media[1].field, "messages[2].parts[1].image.data");
  EXPECT_EQ(prompt->media[2].content_hash, HashOf(sound));
  EXPECT_EQ(prompt->media[2].kind, MediaKind::kAudio);
  const auto result = std::find(prompt->ids.begin(), prompt->ids.end(), IdOf("<tool_response|>"));
  EXPECT_EQ(result + 2 - prompt->ids.begin(), prompt->media[1].first) << "begin, then its tokens";
  EXPECT_FALSE(prompt->ends_in_thought);
  request_.set_thinking(v1::THINKING_MODE_ON);
  EXPECT_TRUE(Build()->ends_in_thought);
}

TEST_F(PromptBuilderTest, MediaBecomeSpans) {
  const std::string picture = media_test::JpegFile(media_test::Gradient(96, 48));
  const std::string sound = media_test::WavFile(std::string(2 * 16000, '\1'), {});  // 1 s
  user_->add_parts()->mutable_image()->set_data(picture);
  user_->add_parts()->set_text("a");
  user_->add_parts()->mutable_audio()->set_data(sound);
  const absl::StatusOr<Prompt> prompt = Build();
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  ASSERT_EQ(prompt->media.size(), 2u);
  const MediaItem& image = prompt->media[0];
  EXPECT_EQ(image.kind, MediaKind::kImage);
  EXPECT_EQ(image.image_token_budget, 70);
  EXPECT_EQ(image.tokens, prompt->image_tokens);
  EXPECT_GT(image.tokens, 0);
  EXPECT_LE(image.tokens, 70);
  EXPECT_EQ(image.content_hash, HashOf(picture));
  EXPECT_EQ(*image.bytes, picture);
  const auto ids_at = [&](const MediaItem& item) {
    return std::vector<TokenId>(prompt->ids.begin() + item.first,
                                prompt->ids.begin() + item.first + item.tokens);
  };
  EXPECT_THAT(ids_at(image), Each(IdOf("<|image|>")));
  EXPECT_EQ(prompt->ids[static_cast<size_t>(image.first) - 1], IdOf("<|image>"));
  EXPECT_EQ(prompt->media[1].tokens, 25);
  EXPECT_EQ(prompt->audio_tokens, 25);
  EXPECT_THAT(ids_at(prompt->media[1]), Each(IdOf("<|audio|>")));
}

TEST_F(PromptBuilderTest, BrokenFilesNameTheirField) {
  user_->add_parts()->set_text("a");
  v1::Image& image = *user_->add_parts()->mutable_image();
  image.set_data("BM..............");
  EXPECT_EQ(Refusal().reason, Reason::kMediaUnsupported);
  EXPECT_EQ(Refusal().field, "messages[0].parts[1].image.data");
  image.set_data(media_test::JpegFile(media_test::Gradient(96, 48)).substr(0, 40));
  EXPECT_EQ(Refusal().reason, Reason::kMediaUndecodable);
  EXPECT_EQ(Refusal().field, "messages[0].parts[1].image.data");
  image.set_data(media_test::PngHeader(20000, 10));
  EXPECT_EQ(Refusal().reason, Reason::kMediaLimit);
  EXPECT_THAT(Refusal().limit, HasSubstr("16384"));
  EXPECT_THAT(std::string(Build().status().message()),
              HasSubstr("messages[0].parts[1].image.data: width: found 20000"));
}

TEST_F(PromptBuilderTest, EmptyAndLongSounds) {
  v1::Audio& audio = *user_->add_parts()->mutable_audio();
  audio.set_data("");
  EXPECT_EQ(Refusal().reason, Reason::kMediaUndecodable);
  EXPECT_EQ(Refusal().field, "messages[0].parts[0].audio.data");
  audio.set_data(media_test::WavFile(std::string(2 * 16000 * 2 + 4, '\1'), {}));
  EXPECT_EQ(Refusal().reason, Reason::kMediaLimit);
  audio.set_data(media_test::WavFile(std::string(2 * 16000 * 2, '\1'), {}));
  EXPECT_TRUE(Build().ok()) << "exactly the limit";
}

// What a boundary is for: the next turn's prompt begins with the same tokens, though its history
// shows no thought, and shows the answer instead of the generation prompt.
class CacheBoundaryTest : public PromptBuilderTest, public testing::WithParamInterface<bool> {};

void ExpectShared(const Prompt& one, const Prompt& other, int64_t boundary) {
  ASSERT_GE(static_cast<int64_t>(other.ids.size()), boundary);
  EXPECT_TRUE(std::equal(one.ids.begin(), one.ids.begin() + boundary, other.ids.begin()));
}

TEST_P(CacheBoundaryTest, TheNextTurnBeginsWithTheSameTokens) {
  if (GetParam()) request_.set_thinking(v1::THINKING_MODE_ON);
  user_->add_parts()->set_text("the use");
  const Prompt first = *Build();
  v1::Message& answer = *request_.add_messages();
  answer.set_role(v1::ROLE_MODEL);
  answer.set_thought("abc");
  answer.add_parts()->set_text("hello");
  v1::Message& next = *request_.add_messages();
  next.set_role(v1::ROLE_USER);
  next.add_parts()->set_text("use");
  const Prompt second = *Build();
  ExpectShared(first, second, first.cache_boundaries.back());
  EXPECT_EQ(first.ids[static_cast<size_t>(first.cache_boundaries.back())], IdOf("<|turn>"));
  EXPECT_GT(second.cache_boundaries.back(), first.cache_boundaries.back());
}

TEST_P(CacheBoundaryTest, TheFirstTurnIsSharedAmongConversations) {
  if (GetParam()) request_.set_thinking(v1::THINKING_MODE_ON);
  user_->set_role(v1::ROLE_SYSTEM);
  user_->add_parts()->set_text("hello the use");
  v1::Message& asked = *request_.add_messages();
  asked.set_role(v1::ROLE_USER);
  asked.add_parts()->set_text("abc");
  const Prompt one = *Build();
  asked.mutable_parts(0)->set_text("the");
  const Prompt other = *Build();
  ASSERT_EQ(one.cache_boundaries.size(), 2u);
  EXPECT_EQ(one.cache_boundaries[0], other.cache_boundaries[0]);
  ExpectShared(one, other, one.cache_boundaries[0]);
}

TEST_P(CacheBoundaryTest, AToolLoopIsSharedUpToTheLastResult) {
  if (GetParam()) request_.set_thinking(v1::THINKING_MODE_ON);
  user_->add_parts()->set_text("the use");
  for (int round = 0; round < 2; ++round) {
    v1::Message& model = *request_.add_messages();
    model.set_role(v1::ROLE_MODEL);
    model.add_tool_calls()->set_id("1");
    model.mutable_tool_calls(0)->set_name("abc");
    v1::Message& tool = *request_.add_messages();
    tool.set_role(v1::ROLE_TOOL);
    tool.add_parts()->mutable_tool_result()->set_call_id("1");
    tool.mutable_parts(0)->mutable_tool_result()->set_text("the");
  }
  const Prompt second = *Build();
  request_.mutable_messages()->DeleteSubrange(3, 2);
  const Prompt first = *Build();
  ExpectShared(first, second, first.cache_boundaries.back());
  EXPECT_EQ(first.ids[static_cast<size_t>(first.cache_boundaries.back() - 1)],
            IdOf("<tool_response|>"));
}

INSTANTIATE_TEST_SUITE_P(Thinking, CacheBoundaryTest, testing::Bool());

TEST(OutputTokensMaxTest, FitsTheContext) {
  ChatRequest request;
  Prompt prompt;
  prompt.ids.resize(90);
  EXPECT_EQ(*OutputTokensMax(request, prompt, 100), 10);
  request.output_tokens_max = 10;
  EXPECT_EQ(*OutputTokensMax(request, prompt, 100), 10);
  request.output_tokens_max = 11;
  absl::Status status = OutputTokensMax(request, prompt, 100).status();
  EXPECT_EQ(GetReason(status), Reason::kContextTooLong);
  EXPECT_EQ(GetErrorDetail(status)->field, "max_output_tokens");
  EXPECT_EQ(
      status.message(),
      "max_output_tokens: found a prompt of 90 tokens and an answer of 11, allowed is at most "
      "100 tokens together");
  for (const std::optional<int> most : {std::optional<int>(5), std::optional<int>()}) {
    request.output_tokens_max = most;
    request.rules.output_tokens_min = static_cast<uint32_t>(most.value_or(10));
    EXPECT_TRUE(OutputTokensMax(request, prompt, 100).ok());
    ++request.rules.output_tokens_min;
    status = OutputTokensMax(request, prompt, 100).status();
    EXPECT_EQ(GetErrorDetail(status)->field, "min_output_tokens");
  }
  prompt.ids.resize(100);
  status = OutputTokensMax(request, prompt, 100).status();
  EXPECT_EQ(GetErrorDetail(status)->field, "messages");
}

}  // namespace
}  // namespace cleave
