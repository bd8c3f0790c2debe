// The client against a whole gateway with fake workers.
#include "client/chat_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "tests/gateway/gateway_fixture.h"

namespace cleave {
namespace {

using ::testing::HasSubstr;

class ChatClientTest : public GatewayFixture {
 protected:
  ChatClient Client() { return ChatClient(absl::StrCat("127.0.0.1:", gateway_->port())); }
};

TEST_F(ChatClientTest, AsksAndStreams) {
  StartGateway();
  AnswerWith(Ids("hello the user"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  ChatClient client = Client();
  std::string streamed;
  const absl::StatusOr<AskResult> result =
      client.Ask({.text = "abc", .max_output_tokens = 9, .seed = 7, .request_id = "mine"},
                 [&](const v1::GenerateEvent& event) { streamed += event.text().text(); });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->text, "hello the user");
  EXPECT_EQ(streamed, result->text);
  EXPECT_EQ(result->started.seed(), 7u);
  EXPECT_EQ(result->finished.reason(), v1::FINISH_REASON_MAX_TOKENS);
  EXPECT_EQ(result->request_id, "mine");
  EXPECT_TRUE(*client.IsServing(absl::Seconds(5)));
  EXPECT_EQ(client.GetModel(absl::Seconds(5))->name(), "test-model");
}

TEST_F(ChatClientTest, FoldsThoughtsAndCalls) {
  StartGateway();
  AnswerWith(Ids("<|channel>thought\nthe<channel|>hello<|tool_call>call:abc{a:1}<tool_call|>"
                 "<|tool_call>call:b{}<tool_call|><turn|>"),
             cluster::v1::FINISH_CAUSE_STOP_ID);
  const absl::StatusOr<AskResult> result = Client().Ask({.text = "a", .think = true}, nullptr);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->thought, "the");
  EXPECT_EQ(result->text, "hello");
  ASSERT_EQ(result->tool_calls.size(), 2u);
  EXPECT_EQ(result->tool_calls[0].name(), "abc");
  EXPECT_EQ(result->tool_calls[0].arguments(), "{\"a\":1}");
  EXPECT_NE(result->tool_calls[0].id(), result->tool_calls[1].id());
}

TEST_F(ChatClientTest, FoldsEachCandidate) {
  StartGateway();
  AnswerEachWith({Ids("hello the user"), Ids("abc"), Ids("the<|tool_call>call:b{}<tool_call|>")},
                 cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  const absl::StatusOr<AskResult> result =
      Client().Ask({.text = "a", .max_output_tokens = 50, .candidates = 3}, nullptr);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->text, "hello the user");
  EXPECT_EQ(result->finished.reason(), v1::FINISH_REASON_MAX_TOKENS);
  EXPECT_TRUE(result->tool_calls.empty());
  ASSERT_EQ(result->others.size(), 2u);
  EXPECT_EQ(result->others[0].text, "abc");
  EXPECT_EQ(result->others[0].finished.reason(), v1::FINISH_REASON_MAX_TOKENS);
  EXPECT_EQ(result->others[1].text, "the");
  EXPECT_EQ(result->others[1].tool_calls.size(), 1u);
}

TEST_F(ChatClientTest, ErrorsKeepTheirDetails) {
  StartGateway();
  const absl::Status status = Client().Ask({.text = "a", .temperature = 9.0f}, nullptr).status();
  EXPECT_EQ(DescribeError(status),
            "FIELD_INVALID: sampling.temperature: found 9, allowed is 0 to 2");
}

TEST_F(ChatClientTest, ARequestIdThatCannotBeSentIsRefused) {
  StartGateway();
  ChatClient client = Client();
  for (const std::string& id :
       {std::string("a\nb"), std::string("\xc3\xa9"), std::string(65, 'x')}) {
    AskOptions options{.text = "a"};
    options.request_id = id;
    EXPECT_TRUE(absl::IsInvalidArgument(client.Ask(options, nullptr).status())) << id;
  }
  EXPECT_TRUE(CheckRequestId(std::string(64, '~')).ok());
}

TEST_F(ChatClientTest, ItsTimeoutIsTheDeadline) {
  StartGateway();
  const absl::Status status =
      Client().Ask({.text = "a", .timeout = absl::Milliseconds(500)}, nullptr).status();
  EXPECT_EQ(GetReason(status), Reason::kPrefillDeadline) << status;
}

TEST(ChatClientAloneTest, SaysWhenNobodyAnswers) {
  ChatClient client("127.0.0.1:1");
  const absl::Status status = client.Ask({.text = "a"}, nullptr).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(DescribeError(status), HasSubstr("no gateway answers at 127.0.0.1:1"));
}

TEST(MakeRequestTest, MediaComeBeforeTheText) {
  const v1::GenerateRequest request = MakeRequest({.text = "what?",
                                                   .system = "be brief",
                                                   .images = {"i"},
                                                   .audios = {"a"},
                                                   .top_k = 0,
                                                   .think = true});
  ASSERT_EQ(request.messages_size(), 2);
  EXPECT_EQ(request.messages(0).role(), v1::ROLE_SYSTEM);
  const v1::Message& user = request.messages(1);
  ASSERT_EQ(user.parts_size(), 3);
  EXPECT_TRUE(user.parts(0).has_image());
  EXPECT_TRUE(user.parts(1).has_audio());
  EXPECT_EQ(user.parts(2).text(), "what?");
  EXPECT_TRUE(request.sampling().has_top_k());
  EXPECT_FALSE(request.sampling().has_seed());
  EXPECT_EQ(request.thinking(), v1::THINKING_MODE_ON);
  EXPECT_TRUE(request.include_thoughts());
}

TEST(MakeRequestTest, FlagsGoOnTopOfAConversation) {
  AskOptions options;
  options.base.add_messages()->set_role(v1::ROLE_USER);
  options.base.mutable_sampling()->set_seed(3);
  options.base.mutable_sampling()->set_top_k(5);
  EXPECT_EQ(MakeRequest(options).SerializeAsString(), options.base.SerializeAsString());
  options.text = "more";
  options.system = "be brief";
  options.top_k = 7;
  options.tools.emplace_back().set_name("f");
  const v1::GenerateRequest request = MakeRequest(options);
  ASSERT_EQ(request.messages_size(), 3);
  EXPECT_EQ(request.messages(0).parts(0).text(), "be brief");
  EXPECT_EQ(request.messages(1).role(), v1::ROLE_USER);
  EXPECT_EQ(request.messages(2).parts(0).text(), "more");
  EXPECT_EQ(request.sampling().seed(), 3u);
  EXPECT_EQ(request.sampling().top_k(), 7u);
  EXPECT_EQ(request.tools(0).name(), "f");
  options.base = request;
  options.text.reset();
  options.system = "be long";
  EXPECT_EQ(MakeRequest(options).messages_size(), 3);
  EXPECT_EQ(MakeRequest(options).messages(0).parts(0).text(), "be long");
}

}  // namespace
}  // namespace cleave
