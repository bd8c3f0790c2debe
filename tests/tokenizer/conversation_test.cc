#include "tokenizer/conversation.h"

#include <gtest/gtest.h>

#include "tests/tokenizer/small_tokenizer.h"
#include "tokenizer/chat_template.h"

namespace cleave {
namespace {

Message Said(Role role, absl::string_view text) {
  return {.role = role, .parts = {TextPart{std::string(text)}}, .is_list = false};
}

Message Calling(absl::string_view text, absl::string_view thought = "") {
  Message message = Said(Role::kAssistant, text);
  message.thought = std::string(thought);
  message.tool_calls.push_back({"1", "f", {nullptr}});
  return message;
}

Message Result() {
  Message message{.role = Role::kTool};
  message.call_id = "1";
  return message;
}

class MoveTextBesideCallsTest : public testing::Test {
 protected:
  void Move(std::vector<Message>& messages) {
    MoveTextBesideCalls(messages, tokenizer_->vocabulary());
  }
  const SmallTokenizer small_;
  const std::unique_ptr<const Tokenizer> tokenizer_ = *Tokenizer::Create(small_.Json());
};

TEST_F(MoveTextBesideCallsTest, TheEndOfTheThoughtInTheCurrentLoop) {
  std::vector<Message> messages = {Said(Role::kUser, "q"), Calling(" Let me look. "), Result(),
                                   Calling("Again.", "hm"), Result()};
  Move(messages);
  EXPECT_TRUE(messages[1].parts.empty());
  EXPECT_EQ(messages[1].thought, "Let me look.");
  EXPECT_EQ(messages[3].thought, "hm\n\nAgain.");
  // Without it the turn would end after the results.
  const RenderedPrompt prompt = *RenderChat({messages}, {}, tokenizer_->vocabulary());
  const std::string text = SpellOut(prompt, tokenizer_->vocabulary());
  EXPECT_EQ(text.substr(text.rfind("<|tool_call>")),
            "<|tool_call>call:f{}<tool_call|><|tool_response>response:f{value:null}"
            "<tool_response|>");
}

TEST_F(MoveTextBesideCallsTest, WhatIsEarlierOrNoCallStays) {
  std::vector<Message> messages = {Calling("old"), Result(), Said(Role::kUser, "q"),
                                   Said(Role::kAssistant, "text"), Calling(" \n")};
  Move(messages);
  EXPECT_EQ(messages[0].parts.size(), 1u);
  EXPECT_EQ(messages[0].thought, "");
  EXPECT_EQ(messages[3].parts.size(), 1u);
  EXPECT_EQ(messages[4].thought, "");
}

TEST_F(MoveTextBesideCallsTest, WithoutAUserAllIsCurrent) {
  std::vector<Message> messages = {Calling("<|channel>thought\nplan<channel|>Now.", "<|channel>x"),
                                   Result()};
  Move(messages);
  EXPECT_EQ(messages[0].thought, "<|channel>x\n\nNow.");
  std::vector<Message> none;
  Move(none);
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace cleave
