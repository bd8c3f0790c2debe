// Messages of tool loops; plain ones are in chat_request_test.cc.
#include "gateway/message_reader.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "tests/gateway/refusal.h"
#include "tests/gateway/test_model.h"

namespace cleave {
namespace {

class MessageReaderTest : public testing::Test {
 protected:
  MessageReaderTest() { Say(v1::ROLE_USER, "q"); }

  void Say(v1::Role role, const std::string& text) {
    v1::Message& message = *request_.add_messages();
    message.set_role(role);
    message.add_parts()->set_text(text);
  }
  v1::Message& Call(const std::vector<std::string>& ids) {
    v1::Message& message = *request_.add_messages();
    message.set_role(v1::ROLE_MODEL);
    for (const std::string& id : ids) {
      v1::ToolCall& call = *message.add_tool_calls();
      call.set_id(id);
      call.set_name("f");
    }
    return message;
  }
  v1::Message& Answer(const std::string& id) {
    v1::Message& message = *request_.add_messages();
    message.set_role(v1::ROLE_TOOL);
    message.add_parts()->mutable_tool_result()->set_call_id(id);
    message.mutable_parts(0)->mutable_tool_result()->set_text("r");
    return message;
  }
  absl::StatusOr<ChatRequest> Read() {
    v1::GenerateRequest copy = request_;
    return ReadChatRequest(copy, model_);
  }
  std::string RefusedField(Reason reason = Reason::kFieldInvalid) {
    return CheckRefusal(Read().status(), reason);
  }
  // What refuses one change of an otherwise good tool loop.
  std::string RefusedIn(const std::function<void(v1::Message& call, v1::Message& answer)>& change) {
    request_.clear_messages();
    Say(v1::ROLE_USER, "q");
    Call({"1"});
    Answer("1");
    change(*request_.mutable_messages(1), *request_.mutable_messages(2));
    return RefusedField();
  }

  const ServedModel model_ = LoadTestModel();
  v1::GenerateRequest request_;
};

TEST_F(MessageReaderTest, ReadsAToolLoop) {
  v1::Message& calling = Call({"a", "b"});
  calling.set_thought("hm");
  calling.mutable_tool_calls(0)->set_arguments(R"({"x":1.0})");
  Answer("b");
  Answer("a").mutable_parts(0)->mutable_tool_result()->set_json(R"({"y":[null]})");
  request_.mutable_messages(3)->add_parts()->mutable_image()->set_data("picture");
  request_.mutable_messages(3)->mutable_parts(0)->mutable_tool_result()->set_name("f");
  const absl::StatusOr<ChatRequest> read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  const std::vector<Message>& messages = read->conversation.messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[1].thought, "hm");
  EXPECT_EQ(messages[1].tool_calls[0].arguments.Find("x")->AsNumber()->text, "1.0");
  EXPECT_TRUE(messages[1].tool_calls[1].arguments.AsObject()->empty());
  EXPECT_EQ(messages[2].call_id, "b");
  EXPECT_EQ(*messages[2].result.AsString(), "r");
  EXPECT_NE(messages[3].result.Find("y"), nullptr);
  EXPECT_EQ(messages[3].parts.size(), 1u);
  EXPECT_EQ(read->media.at(0).field, "messages[3].parts[1].image.data");
}

TEST_F(MessageReaderTest, TextBesideCallsOfTheCurrentLoopBecomesThought) {
  Call({"1"}).add_parts()->set_text("Let me look.");
  Answer("1");
  EXPECT_EQ(Read()->conversation.messages[1].thought, "Let me look.");
  Say(v1::ROLE_USER, "and?");
  EXPECT_EQ(Read()->conversation.messages[1].thought, "");
}

TEST_F(MessageReaderTest, EveryCallHasOneResultRightBehind) {
  Call({"1", "2"});
  EXPECT_EQ(RefusedField(), "messages[1].tool_calls[0]");
  Answer("1");
  EXPECT_EQ(RefusedField(), "messages[1].tool_calls[1]");
  Answer("1");
  EXPECT_EQ(RefusedField(), "messages[3].parts[0].tool_result.call_id") << "a second result";
  request_.mutable_messages()->RemoveLast();
  Say(v1::ROLE_USER, "never mind");
  EXPECT_EQ(RefusedField(), "messages[1].tool_calls[1]") << "cut off by another message";
  Answer("2");
  EXPECT_EQ(RefusedField(), "messages[1].tool_calls[1]");
}

TEST_F(MessageReaderTest, AResultAnswersACall) {
  Answer("1");
  EXPECT_EQ(RefusedField(), "messages[1].parts[0].tool_result.call_id");
  EXPECT_EQ(RefusedIn([](v1::Message&, v1::Message& answer) {
              answer.mutable_parts(0)->mutable_tool_result()->set_call_id("2");
            }),
            "messages[2].parts[0].tool_result.call_id");
  EXPECT_EQ(RefusedIn([](v1::Message&, v1::Message& answer) {
              answer.mutable_parts(0)->mutable_tool_result()->clear_call_id();
            }),
            "messages[2].parts[0].tool_result.call_id");
  EXPECT_EQ(RefusedIn([](v1::Message&, v1::Message& answer) {
              answer.mutable_parts(0)->mutable_tool_result()->set_name("g");
            }),
            "messages[2].parts[0].tool_result.name");
}

TEST_F(MessageReaderTest, RefusesCalls) {
  EXPECT_EQ(
      RefusedIn([](v1::Message& call, v1::Message&) { call.mutable_tool_calls(0)->clear_id(); }),
      "messages[1].tool_calls[0].id");
  EXPECT_EQ(RefusedIn([](v1::Message& call, v1::Message&) {
              *call.add_tool_calls() = call.tool_calls(0);
            }),
            "messages[1].tool_calls[1].id");
  EXPECT_EQ(RefusedIn([](v1::Message& call, v1::Message&) {
              call.mutable_tool_calls(0)->set_name("f{");
            }),
            "messages[1].tool_calls[0].name");
  for (const char* arguments : {"{", "[]", "null", "{\"a\":NaN}"}) {
    EXPECT_EQ(RefusedIn([&](v1::Message& call, v1::Message&) {
                call.mutable_tool_calls(0)->set_arguments(arguments);
              }),
              "messages[1].tool_calls[0].arguments")
        << arguments;
  }
  EXPECT_EQ(RefusedIn([](v1::Message& call, v1::Message&) {
              for (int i = 0; i < 128; ++i) *call.add_tool_calls() = call.tool_calls(0);
            }),
            "messages[1].tool_calls");
  EXPECT_EQ(RefusedIn([](v1::Message& call, v1::Message&) {
              call.add_parts()->mutable_image()->set_data("x");
            }),
            "messages[1].parts[0]");
}

TEST_F(MessageReaderTest, RefusesResults) {
  EXPECT_EQ(RefusedIn([](v1::Message&, v1::Message& answer) { answer.clear_parts(); }),
            "messages[2].parts");
  EXPECT_EQ(
      RefusedIn([](v1::Message&, v1::Message& answer) { answer.mutable_parts(0)->set_text("r"); }),
      "messages[2].parts[0]");
  EXPECT_EQ(RefusedIn([](v1::Message&, v1::Message& answer) {
              answer.mutable_parts(0)->mutable_tool_result()->clear_text();
            }),
            "messages[2].parts[0].tool_result");
  EXPECT_EQ(RefusedIn([](v1::Message&, v1::Message& answer) {
              answer.mutable_parts(0)->mutable_tool_result()->set_json("{");
            }),
            "messages[2].parts[0].tool_result.json");
  EXPECT_EQ(RefusedIn([](v1::Message&, v1::Message& answer) {
              answer.mutable_parts(0)->mutable_tool_result()->set_json(
                  absl::StrCat("\"", std::string(1 << 20, 'x'), "\""));
            }),
            "messages[2].parts[0].tool_result.json");
  EXPECT_EQ(
      RefusedIn([](v1::Message&, v1::Message& answer) { answer.add_parts()->set_text("more"); }),
      "messages[2].parts[1]");
  EXPECT_EQ(
      RefusedIn([](v1::Message&, v1::Message& answer) { *answer.add_parts() = answer.parts(0); }),
      "messages[2].parts[1]");
}

TEST_F(MessageReaderTest, OnlyTheModelThinksAndCalls) {
  request_.mutable_messages(0)->set_thought("hm");
  EXPECT_EQ(RefusedField(), "messages[0].thought");
  request_.mutable_messages(0)->clear_thought();
  request_.mutable_messages(0)->add_tool_calls()->set_id("1");
  EXPECT_EQ(RefusedField(), "messages[0].tool_calls");
  request_.mutable_messages(0)->clear_tool_calls();
  request_.mutable_messages(0)->add_parts()->mutable_tool_result()->set_call_id("1");
  EXPECT_EQ(RefusedField(), "messages[0].parts[1]");
  request_.mutable_messages(0)->mutable_parts()->RemoveLast();
  request_.set_tool_choice(static_cast<v1::ToolChoice>(9));
  EXPECT_EQ(RefusedField(), "tool_choice");
}

TEST_F(MessageReaderTest, ThoughtsAreText) {
  Say(v1::ROLE_MODEL, "a");
  request_.mutable_messages(1)->set_thought("\xFF");
  EXPECT_EQ(RefusedField(Reason::kTextNotUtf8), "messages[1].thought");
  request_.mutable_messages(1)->set_thought(std::string(8 << 20, 'x'));
  EXPECT_EQ(RefusedField(), "messages[1].thought");
}

TEST_F(MessageReaderTest, ToolsAreShownUnlessTheyAreNotToBe) {
  request_.add_tools()->set_name("f");
  EXPECT_EQ(Read()->conversation.tools.size(), 1u);
  request_.set_tool_choice(v1::TOOL_CHOICE_NONE);
  EXPECT_TRUE(Read()->conversation.tools.empty());
}

}  // namespace
}  // namespace cleave
