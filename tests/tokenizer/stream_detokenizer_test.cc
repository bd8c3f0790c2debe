#include "tokenizer/stream_detokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/tokenizer/small_tokenizer.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;

class StreamDetokenizerTest : public testing::Test {
 protected:
  // What each id releases, then the tail.
  std::vector<std::string> Deltas(const std::vector<std::string>& spellings, bool skip_special) {
    StreamDetokenizer detokenizer(vocabulary_, skip_special);
    std::vector<std::string> deltas;
    for (const std::string& spelling : spellings) {
      EXPECT_TRUE(detokenizer.Push(small_.IdOf(spelling), deltas.emplace_back()).ok());
    }
    detokenizer.Finish(deltas.emplace_back());
    return deltas;
  }

  const SmallTokenizer small_;
  const Vocabulary vocabulary_ =
      *Vocabulary::Create(*TokenizerJson::Parse(small_.Json(), "small"), "");
};

TEST_F(StreamDetokenizerTest, OrdinaryPieces) {
  EXPECT_THAT(Deltas({"▁the", "▁", "▁▁", "\n", "<h1>", "<unused0>"}, true),
              ElementsAre(" the", " ", "  ", "\n", "<h1>", "<unused0>", ""));
}

TEST_F(StreamDetokenizerTest, ControlTokensAreSkippedOrSpelled) {
  EXPECT_THAT(Deltas({"a", "<turn|>", "b"}, true), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(Deltas({"a", "<turn|>", "b"}, false), ElementsAre("a", "<turn|>", "b", ""));
}

TEST_F(StreamDetokenizerTest, ACharacterComesWithItsLastByte) {
  EXPECT_THAT(Deltas({"<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<0x41>"}, true),
              ElementsAre("", "", "", "😀", "A", ""));
}

TEST_F(StreamDetokenizerTest, BrokenBytesAreReplacedOneByOne) {
  EXPECT_THAT(Deltas({"<0xFF>", "<0xE4>", "<0xB8>", "<0x41>"}, true),
              ElementsAre("\uFFFD", "", "", "\uFFFD\uFFFDA", ""));
  EXPECT_THAT(Deltas({"<0xC3>", "<0xC3>", "<0xA9>"}, true), ElementsAre("", "\uFFFD", "é", ""));
  EXPECT_THAT(Deltas({"<0xE4>", "<0xB8>"}, true), ElementsAre("", "", "\uFFFD\uFFFD"));
}

TEST_F(StreamDetokenizerTest, AnyOtherIdReleasesHeldBytes) {
  EXPECT_THAT(Deltas({"<0xC3>", "<turn|>", "<0xA9>"}, true),
              ElementsAre("", "\uFFFD", "\uFFFD", ""));
  EXPECT_THAT(Deltas({"<0xC3>", "a"}, true), ElementsAre("", "\uFFFDa", ""));
}

TEST_F(StreamDetokenizerTest, RefusesIdsOutsideTheVocabulary) {
  StreamDetokenizer detokenizer(vocabulary_, true);
  std::string text;
  EXPECT_TRUE(detokenizer.Push(0xC3, text).ok());  // byte pieces have ids 0 to 255 here
  for (const TokenId id : {-1, vocabulary_.size()}) {
    EXPECT_EQ(detokenizer.Push(id, text).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(detokenizer.Push(0xA9, text).ok());
  EXPECT_EQ(text, "é");
  EXPECT_FALSE(Detokenize(vocabulary_, {1, vocabulary_.size()}, true).ok());
}

TEST_F(StreamDetokenizerTest, EveryDeltaIsWellFormed) {
  std::mt19937_64 random(4714);
  StreamDetokenizer detokenizer(vocabulary_, false);
  for (int i = 0; i < 20000; ++i) {
    std::string delta;
    const uint64_t bound = random() % 4 == 0 ? static_cast<uint64_t>(vocabulary_.size()) : 256;
    ASSERT_TRUE(detokenizer.Push(static_cast<TokenId>(random() % bound), delta).ok());
    ASSERT_EQ(FindInvalidUtf8(delta), std::nullopt);
  }
}

}  // namespace
}  // namespace cleave
