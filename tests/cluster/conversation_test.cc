// One conversation with everything that a prompt can hold, through the three processes, answered as
// the model alone answers it in this process.
#include <gtest/gtest.h>

#include "runtime/base/file.h"
#include "tests/cluster/answer_alone.h"
#include "tests/cluster/process_cluster.h"
#include "tests/support/status_matchers.h"

namespace cleave::testing {
namespace {

const std::string kData = CLEAVE_SOURCE_DIR "/tests/golden/data/";
const std::string kModel = kData + "checkpoints/tiny";
constexpr uint32_t kOutputTokens = 60;

// System role, thinking, two pictures, a sound and a video, a call and its result.
v1::GenerateRequest Conversation(v1::ThinkingMode thinking) {
  v1::GenerateRequest request;
  request.mutable_sampling()->set_temperature(0);
  request.set_max_output_tokens(kOutputTokens);
  request.set_image_token_budget(70);
  request.set_thinking(thinking);
  request.set_include_thoughts(true);
  v1::Tool& tool = *request.add_tools();
  tool.set_name("weigh");
  tool.set_description("Weighs what is shown.");
  tool.set_parameters(
      R"({"type": "object", "properties": {"what": {"type": ["string", "null"]}}})");
  v1::Message& system = *request.add_messages();
  system.set_role(v1::ROLE_SYSTEM);
  system.add_parts()->set_text("Be brief.");
  v1::Message& user = *request.add_messages();
  user.set_role(v1::ROLE_USER);
  user.add_parts()->mutable_image()->set_data(*ReadFile(kData + "pictures/photo_200x150.jpg"));
  user.add_parts()->set_text("or");
  user.add_parts()->mutable_image()->set_data(*ReadFile(kData + "pictures/alpha_96x72.png"));
  user.add_parts()->mutable_audio()->set_data(*ReadFile(kData + "sounds/noise_4001.wav"));
  v1::Video& video = *user.add_parts()->mutable_video();
  video.set_fps(0.5);
  for (const char* name : {"frame_0_72x48.webp", "frame_1_72x48.webp"}) {
    video.add_frames()->set_data(*ReadFile(kData + "pictures/" + name));
  }
  user.add_parts()->set_text("which is heavier?");
  v1::Message& call = *request.add_messages();
  call.set_role(v1::ROLE_MODEL);
  call.set_thought("The scale will tell.");
  v1::ToolCall& weigh = *call.add_tool_calls();
  weigh.set_id("1");
  weigh.set_name("weigh");
  weigh.set_arguments(R"({"what": "both", "times": 2.0})");
  v1::Message& result = *request.add_messages();
  result.set_role(v1::ROLE_TOOL);
  result.add_parts()->mutable_tool_result()->set_call_id("1");
  result.mutable_parts(0)->mutable_tool_result()->set_json(R"({"grams": [3, 4.5e-7]})");
  return request;
}

// The parameter is the prefill worker's chunk.
class ConversationTest : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Chunks, ConversationTest, ::testing::Values("1", "33", "1120"));

TEST_P(ConversationTest, IsAnsweredAsInOneProcess) {
  ProcessCluster cluster({.worker_flags = {"--kv-dtype", "float32", "--page-tokens", "8",
                                           "--context-tokens", "2000", "--poison-free-pages"},
                          .prefill_flags = {"--chunk-tokens", GetParam()}});
  for (const v1::ThinkingMode thinking : {v1::THINKING_MODE_ON, v1::THINKING_MODE_OFF}) {
    const v1::GenerateRequest request = Conversation(thinking);
    const AloneAnswer expected = AnswerAlone(kModel, request, {.positions_max = 1000});
    EXPECT_EQ(expected.prompt.media.size(), 5u);
    EXPECT_EQ(expected.prompt.ends_in_thought, thinking == v1::THINKING_MODE_ON);
    AnswerStream stream(cluster.gateway_address(), request, absl::Seconds(120));
    const StreamedAnswer& answer = stream.Finish();
    ASSERT_OK(answer.status);
    EXPECT_EQ(answer.thought, expected.reply.thought);
    EXPECT_EQ(answer.text, expected.reply.text);
    EXPECT_FALSE(answer.thought.empty() && answer.text.empty());
    const v1::Usage& usage = answer.summary.usage();
    EXPECT_EQ(usage.prompt_tokens(), expected.prompt.ids.size());
    EXPECT_EQ(usage.output_tokens(), expected.ids.size());
    EXPECT_EQ(usage.thought_tokens(), static_cast<uint32_t>(expected.reply.thought_tokens));
    EXPECT_GT(usage.image_tokens(), 0u);
    EXPECT_GT(usage.audio_tokens(), 0u);
    EXPECT_GT(usage.video_tokens(), 0u);
  }
}

}  // namespace
}  // namespace cleave::testing
