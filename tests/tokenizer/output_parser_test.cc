#include "tokenizer/output_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tokenizer/small_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OutputParserTest : public testing::Test {
 protected:
  ParsedOutput Parse(absl::string_view text, bool start_in_thought = false) {
    const SpecialTokens& special = tokenizer_->vocabulary().special();
    const std::vector<TokenId> ids = *tokenizer_->Encode(text, /*match_special=*/true);
    return *ParseOutput(tokenizer_->vocabulary(), ids,
                        {special.turn_end, special.tool_response_begin}, start_in_thought);
  }

  const SmallTokenizer small_;
  const std::unique_ptr<const Tokenizer> tokenizer_ = *Tokenizer::Create(small_.Json());
};

TEST_F(OutputParserTest, ThoughtAnswerAndCalls) {
  const ParsedOutput output = Parse(
      "<|channel>thought\nhm\n<channel|> the <|tool_call>call:b{a:<|\"|>c<|\"|>}<tool_call|>"
      "<|tool_call>call:c{}<tool_call|><|tool_response>");
  EXPECT_EQ(output.thought, "hm");
  EXPECT_EQ(output.content, "the");
  EXPECT_THAT(output.tool_calls,
              ElementsAre(ParsedToolCall{"b", R"({"a":"c"})"}, ParsedToolCall{"c", "{}"}));
  EXPECT_THAT(output.malformed, IsEmpty());
  EXPECT_EQ(output.end, OutputEnd::kToolCalls);
}

TEST_F(OutputParserTest, StartsInAThoughtWithoutAHeader) {
  const ParsedOutput output = Parse("thought\nhe<channel|>llo", /*start_in_thought=*/true);
  EXPECT_EQ(output.thought, "thought\nhe");
  EXPECT_EQ(output.content, "llo");
  EXPECT_EQ(output.end, OutputEnd::kLength);
}

TEST_F(OutputParserTest, HeaderAndNewlinesOfThoughts) {
  EXPECT_EQ(Parse("<|channel>thou").thought, "");
  EXPECT_EQ(Parse("<|channel>thought").thought, "");
  EXPECT_EQ(Parse("<|channel>though he").thought, "though he");
  EXPECT_EQ(Parse("<|channel>thought\n\n\n<channel|>").thought, "\n");
  EXPECT_EQ(Parse("<|channel>thought\na<channel|><|channel>thought\n<channel|><|channel>b").thought,
            "a\n\nb");
}

TEST_F(OutputParserTest, ACutCallIsNeitherACallNorText) {
  const ParsedOutput output = Parse("a<|tool_call>call:b{a:<|\"|>c<|image|>");
  EXPECT_EQ(output.content, "a");
  EXPECT_THAT(output.tool_calls, IsEmpty());
  EXPECT_THAT(output.malformed, ElementsAre("call:b{a:<|\"|>c<|image|>"));
}

TEST_F(OutputParserTest, StrayControlTokensAreDropped) {
  EXPECT_EQ(Parse("a<channel|>b<tool_call|>c<|\"|><|image|>d").content, "abcd");
}

TEST_F(OutputParserTest, UnknownIdChangesNothing) {
  OutputParser parser(tokenizer_->vocabulary(), false);
  OutputDelta delta;
  EXPECT_TRUE(absl::IsInvalidArgument(parser.Push(-1, delta)));
  EXPECT_TRUE(absl::IsInvalidArgument(parser.Push(100'000, delta)));
  EXPECT_TRUE(parser.Push(0xE4, delta).ok());
  EXPECT_EQ(delta.content, "");  // the byte waits for its character
  parser.Finish(delta);
  EXPECT_EQ(delta.content, "\uFFFD");
}

}  // namespace
}  // namespace cleave
