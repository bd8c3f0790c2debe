// Thoughts, tools and calls as a client sees them, with workers that answer what the test wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/gateway/gateway_fixture.h"

namespace cleave {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCall[] = "<|tool_call>call:abc{a:<|\"|>the<|\"|>,b:[1,2.0]}<tool_call|>";

class GatewayToolsTest : public GatewayFixture {
 protected:
  // Streams an answer to a question; the answer's text with its control tokens spelled.
  void Ask(absl::string_view answer, cluster::v1::FinishCause cause) {
    if (gateway_ == nullptr) StartGateway();
    AnswerWith(Ids(answer), cause);
    result_ = Stream(request_);
    ASSERT_TRUE(result_.status.ok()) << result_.status;
    thought_ = text_ = "";
    calls_.clear();
    uint32_t thought_tokens = 0, tokens = 0;
    for (const v1::GenerateEvent& event : result_.events) {
      thought_ += event.thought().text();
      text_ += event.text().text();
      thought_tokens += event.thought().tokens();
      tokens += event.thought().tokens() + event.text().tokens();
      if (event.has_tool_call()) calls_.push_back(event.tool_call());
    }
    const v1::Usage& usage = result_.events.back().summary().usage();
    EXPECT_EQ(usage.thought_tokens(), thought_tokens);
    EXPECT_EQ(usage.output_tokens(), tokens);
    EXPECT_EQ(tokens, Ids(answer).size());
    reason_ = result_.events[result_.events.size() - 2].finished().reason();
  }
  // The prompt that the workers got.
  std::string Prompt() {
    const auto messages = decode_->attachment.received();
    std::string text;
    for (const auto& message : messages) {
      if (!message.has_expect()) continue;
      text.clear();
      for (const int32_t id : message.expect().sequence().prompt_ids()) {
        absl::StrAppend(&text, tokenizer_->vocabulary().bytes(id));
      }
    }
    return text;
  }

  v1::GenerateRequest request_ = Question("abc");
  StreamResult result_;
  std::string thought_, text_;
  std::vector<v1::ToolCallDelta> calls_;
  v1::FinishReason reason_ = v1::FINISH_REASON_UNSPECIFIED;
};

TEST_F(GatewayToolsTest, ThoughtsAreSentToThoseWhoAsk) {
  const std::string answer = "<|channel>thought\nthe use\n<channel|> hello<turn|>";
  Ask(answer, cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_EQ(thought_, "");
  EXPECT_EQ(text_, "hello");
  EXPECT_EQ(reason_, v1::FINISH_REASON_STOP);
  EXPECT_GT(result_.events.back().summary().usage().thought_tokens(), 2u);
  request_.set_include_thoughts(true);
  Ask(answer, cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_EQ(thought_, "the use");
  EXPECT_EQ(text_, "hello");
}

TEST_F(GatewayToolsTest, CallsComeWholeAndNamed) {
  Ask(absl::StrCat("abc ", kCall, "<|tool_call>call:b{}<tool_call|><|tool_response>"),
      cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_EQ(text_, "abc");
  EXPECT_EQ(reason_, v1::FINISH_REASON_TOOL_CALLS);
  ASSERT_EQ(calls_.size(), 2u);
  EXPECT_EQ(calls_[0].index(), 0u);
  EXPECT_EQ(calls_[0].name(), "abc");
  EXPECT_EQ(calls_[0].arguments(), R"({"a":"the","b":[1,2.0]})");
  EXPECT_EQ(calls_[1].index(), 1u);
  EXPECT_EQ(calls_[1].arguments(), "{}");
  const std::string response = result_.events[0].started().response_id();
  EXPECT_EQ(calls_[0].id(), absl::StrCat("call-", response.substr(5), "-0"));
  EXPECT_EQ(calls_[1].id(), absl::StrCat("call-", response.substr(5), "-1"));
}

TEST_F(GatewayToolsTest, ACallThatCannotBeReadIsToldApart) {
  Ask("hello<|tool_call>call:abc{a:<tool_call|><turn|>", cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_EQ(text_, "hello");
  EXPECT_TRUE(calls_.empty());
  EXPECT_EQ(reason_, v1::FINISH_REASON_MALFORMED_TOOL_CALL);
}

TEST_F(GatewayToolsTest, ACutCallIsNone) {
  Ask("hello<|tool_call>call:abc{a:1", cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  EXPECT_EQ(text_, "hello");
  EXPECT_TRUE(calls_.empty());
  EXPECT_EQ(reason_, v1::FINISH_REASON_CONTEXT_FULL);
}

TEST_F(GatewayToolsTest, StopStringsCutTheTextAlone) {
  request_.add_stop("the");
  Ask(absl::StrCat("<|channel>thought\nthe<channel|>", kCall, "abc<turn|>"),
      cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_EQ(text_, "abc");
  EXPECT_EQ(calls_.size(), 1u);
  EXPECT_EQ(reason_, v1::FINISH_REASON_TOOL_CALLS);
}

TEST_F(GatewayToolsTest, AtOnceIsTheFoldOfTheStream) {
  StartGateway();
  AnswerWith(Ids(absl::StrCat("<|channel>thought\nhe<channel|>abc", kCall, "<turn|>")),
             cluster::v1::FINISH_CAUSE_STOP_ID);
  request_.set_include_thoughts(true);
  v1::GenerateResponse response;
  ASSERT_TRUE(chat_->Generate(Context().get(), request_, &response).ok());
  const v1::Candidate& candidate = response.candidates(0);
  EXPECT_EQ(candidate.thought(), "he");
  EXPECT_EQ(candidate.text(), "abc");
  ASSERT_EQ(candidate.tool_calls_size(), 1);
  EXPECT_EQ(candidate.tool_calls(0).name(), "abc");
  EXPECT_EQ(candidate.tool_calls(0).arguments(), R"({"a":"the","b":[1,2.0]})");
  EXPECT_THAT(candidate.tool_calls(0).id(), HasSubstr("call-"));
  EXPECT_EQ(candidate.reason(), v1::FINISH_REASON_TOOL_CALLS);
}

// What an answer gave goes back, and the prompt is the one the model would have had.
TEST_F(GatewayToolsTest, AToolLoopGoesOnInsideItsThought) {
  request_.set_thinking(v1::THINKING_MODE_ON);
  request_.add_tools()->set_name("abc");
  Ask(absl::StrCat(kCall, "<turn|>"), cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_THAT(Prompt(), HasSubstr("<|tool>declaration:abc{description:<|\"|><|\"|>}<tool|>"));
  v1::Message& model = *request_.add_messages();
  model.set_role(v1::ROLE_MODEL);
  model.set_thought("he");
  v1::ToolCall& call = *model.add_tool_calls();
  call.set_id(calls_[0].id());
  call.set_name(calls_[0].name());
  call.set_arguments(calls_[0].arguments());
  v1::Message& tool = *request_.add_messages();
  tool.set_role(v1::ROLE_TOOL);
  tool.add_parts()->mutable_tool_result()->set_call_id(calls_[0].id());
  tool.mutable_parts(0)->mutable_tool_result()->set_json(R"({"c":null})");
  request_.set_include_thoughts(true);
  Ask("the<channel|>hello<turn|>", cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_THAT(Prompt(),
              HasSubstr(absl::StrCat("<|channel>thought\nhe\n<channel|>", kCall,
                                     "<|tool_response>response:abc{c:null}<tool_response|>"
                                     "<|channel>thought\n")));
  EXPECT_EQ(thought_, "the");
  EXPECT_EQ(text_, "hello");
  request_.set_tool_choice(v1::TOOL_CHOICE_NONE);
  Ask("hello<turn|>", cluster::v1::FINISH_CAUSE_STOP_ID);
  EXPECT_THAT(Prompt(), Not(HasSubstr("<|tool>")));
}

}  // namespace
}  // namespace cleave
