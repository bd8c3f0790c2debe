#include "gateway/reply_assembler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/gateway/test_model.h"
#include "tests/runtime/random_walk.h"
#include "tokenizer/chat_text.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

class ReplyAssemblerTest : public testing::Test {
 protected:
  std::vector<TokenId> Encode(absl::string_view text) const {
    return *model_.tokenizer->Encode(text, /*match_special=*/true);
  }
  // The text when the ids come `step` at a time; the rest of the answer is in `reply_`.
  std::string Assemble(const std::vector<TokenId>& ids, std::vector<std::string> stop,
                       size_t step = 1, bool starts_in_thought = false) {
    ReplyAssembler assembler(model_.tokenizer->vocabulary(), std::move(stop), starts_in_thought);
    reply_ = {};
    for (size_t i = 0; i < ids.size(); i += step) {
      ReplyDelta delta;
      EXPECT_TRUE(assembler.Push(absl::MakeConstSpan(ids).subspan(i, step), delta).ok());
      Add(delta);
    }
    ReplyDelta delta;
    assembler.Finish(delta);
    Add(delta);
    stopped_by_ = assembler.stopped_by();
    has_malformed_call_ = assembler.has_malformed_call();
    EXPECT_EQ(assembler.tool_calls(), static_cast<int>(reply_.tool_calls.size()));
    return reply_.text;
  }
  void Add(const ReplyDelta& delta) {
    EXPECT_FALSE(FindInvalidUtf8(delta.text).has_value());
    EXPECT_FALSE(FindInvalidUtf8(delta.thought).has_value());
    reply_.text += delta.text;
    reply_.thought += delta.thought;
    reply_.thought_tokens += delta.thought_tokens;
    for (const ParsedToolCall& call : delta.tool_calls) reply_.tool_calls.push_back(call);
  }

  const ServedModel model_ = LoadTestModel();
  ReplyDelta reply_;
  std::optional<size_t> stopped_by_;
  bool has_malformed_call_ = false;
};

TEST_F(ReplyAssemblerTest, WhiteSpaceAtTheEndsIsLeftOut) {
  EXPECT_EQ(Assemble(Encode(" hello  the\n\nuse\n\n"), {}), "hello  the\n\nuse");
  EXPECT_EQ(Assemble(Encode(" \n"), {}), "");
}

TEST_F(ReplyAssemblerTest, ControlTokensPrintNothing) {
  EXPECT_EQ(Assemble(Encode("he<|image>ll<turn|>o"), {}), "hello");
}

TEST_F(ReplyAssemblerTest, ThoughtsStandApartAndAreCounted) {
  EXPECT_EQ(Assemble(Encode("a<|channel>the user<channel|>b<|channel>c<channel|>"), {}), "ab");
  EXPECT_EQ(reply_.thought, "the user\n\nc");
  EXPECT_EQ(reply_.thought_tokens,
            static_cast<int>(Encode("<|channel>the user<channel|><|channel>c<channel|>").size()));
  EXPECT_EQ(Assemble(Encode("a<|channel>the user"), {}), "a");
  EXPECT_EQ(reply_.thought, "the user");
  EXPECT_EQ(Assemble(Encode("he<channel|>llo"), {}, 1, /*starts_in_thought=*/true), "llo");
  EXPECT_EQ(reply_.thought, "he");
  EXPECT_EQ(reply_.thought_tokens, 2);
}

TEST_F(ReplyAssemblerTest, CallsStandApart) {
  EXPECT_EQ(Assemble(Encode("a<|tool_call>call:b{c:1}<tool_call|> b<|tool_call>call:c{"), {}),
            "a b");
  EXPECT_THAT(reply_.tool_calls, testing::ElementsAre(ParsedToolCall{"b", R"({"c":1})"}));
  EXPECT_TRUE(has_malformed_call_);
}

TEST_F(ReplyAssemblerTest, NothingFollowsAStopString) {
  const std::vector<TokenId> ids =
      Encode("abc<|channel>the<channel|><|tool_call>call:b{}<tool_call|>");
  for (const size_t step : {size_t{1}, size_t{4}, ids.size()}) {
    EXPECT_EQ(Assemble(ids, {"bc"}, step), "a");
    EXPECT_EQ(reply_.thought, "");
    EXPECT_TRUE(reply_.tool_calls.empty());
    EXPECT_EQ(reply_.thought_tokens, 0);
  }
  EXPECT_EQ(Assemble(Encode("<|tool_call>call:b{c:1}<tool_call|>a"), {"c:1"}), "a");
}

TEST_F(ReplyAssemblerTest, AStopStringOfWhiteSpaceIsSeenBeforeItIsTrimmed) {
  EXPECT_EQ(Assemble(Encode("a\n\nb"), {"\n\n"}), "a");
  EXPECT_EQ(stopped_by_, 0u);
  EXPECT_EQ(Assemble(Encode("a\n"), {"\n"}), "a");
  EXPECT_EQ(stopped_by_, 0u);
}

TEST_F(ReplyAssemblerTest, BytesWaitForTheirCharacter) {
  // U+1F600 has no piece: four byte tokens, whose ids are the bytes.
  const std::vector<TokenId> ids = {0xF0, 0x9F, 0x98, 0x80};
  EXPECT_EQ(Assemble(ids, {}), "\xF0\x9F\x98\x80");
  EXPECT_EQ(Assemble({0xF0, 0x9F}, {}), "\uFFFD\uFFFD");
}

TEST_F(ReplyAssemblerTest, StopStringAcrossTokensCutsExactly) {
  EXPECT_EQ(Assemble(Encode("abc the rest"), {" the"}), "abc");
  EXPECT_EQ(stopped_by_, 0u);
  EXPECT_EQ(Assemble(Encode("aaaab"), {"ab"}), "aaa");
  EXPECT_EQ(Assemble(Encode("abc"), {"x", "bc"}), "a");
  EXPECT_EQ(stopped_by_, 1u);
}

TEST_F(ReplyAssemblerTest, ABegunStopStringIsReleasedInTheEnd) {
  EXPECT_EQ(Assemble(Encode("the use"), {"user"}), "the use");
  EXPECT_EQ(stopped_by_, std::nullopt);
}

TEST_F(ReplyAssemblerTest, StopStringsDoNotMatchHiddenText) {
  EXPECT_EQ(Assemble(Encode("a<|channel>stop<channel|>b"), {"stop"}), "ab");
}

TEST_F(ReplyAssemblerTest, UnknownIdIsAnError) {
  ReplyAssembler assembler(model_.tokenizer->vocabulary(), {}, false);
  ReplyDelta delta;
  EXPECT_TRUE(absl::IsInvalidArgument(assembler.Push({100'000}, delta)));
}

// The definition: decode everything, then look at every prefix, shortest first.
std::string CutByDefinition(const std::string& text, const std::vector<std::string>& stop) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& s : stop) {
      if (s.size() <= end && text.compare(end - s.size(), s.size(), s) == 0) {
        longest = std::max(longest, s.size());
      }
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

TEST_F(ReplyAssemblerTest, TextDoesNotDependOnTheSteps) {
  const std::vector<std::string> pieces = {"a",    "b", "ab", "he", "llo", " the",
                                           "aaaa", "c", "é",  "中", "\n",  "user"};
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 300; ++seed) {
    SCOPED_TRACE(seed);
    RandomWalk walk(seed);
    const auto random_text = [&](int count) {
      std::string text;
      while (count-- > 0) text += pieces[static_cast<size_t>(walk.Below(12))];
      return text;
    };
    const std::string text = random_text(walk.Between(1, 30));
    std::vector<std::string> stop;
    for (int i = walk.Below(4); i > 0; --i) stop.push_back(random_text(walk.Between(1, 3)));
    const std::vector<TokenId> ids = Encode(text);
    const std::string expected(TrimWhitespace(CutByDefinition(text, stop)));
    EXPECT_EQ(Assemble(ids, stop, static_cast<size_t>(walk.Between(1, 8))), expected);
    EXPECT_EQ(Assemble(ids, stop, ids.size()), expected);
  }
}

}  // namespace
}  // namespace cleave
