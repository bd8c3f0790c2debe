#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "runtime/base/error.h"
#include "tests/tokenizer/small_tokenizer.h"
#include "tokenizer/stream_detokenizer.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;

class TokenizerTest : public testing::Test {
 protected:
  TokenizerTest() {
    auto tokenizer = Tokenizer::Create(small_.Json());
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  std::vector<TokenId> Encode(absl::string_view text, bool match_special = false) {
    const auto ids = tokenizer_->Encode(text, match_special);
    EXPECT_TRUE(ids.ok()) << ids.status();
    return ids.value_or(std::vector<TokenId>{});
  }

  // What each id prints.
  std::vector<std::string> Pieces(absl::string_view text, bool match_special = false) {
    std::vector<std::string> pieces;
    for (const TokenId id : Encode(text, match_special)) {
      pieces.emplace_back(tokenizer_->vocabulary().bytes(id));
    }
    return pieces;
  }

  // Text of the pieces that make merging interesting.
  std::string RandomText(std::mt19937_64& random, int pieces) {
    static constexpr const char* kPieces[] = {
        "a",  "aa", "aaaa", "b",  "c",     "abc",     "the",    " the", " ",
        "  ", "\n", "\n\n", "\t", "hello", ">",       "</",     "> </", "1",
        "é",  "中", "文",   "x",  "😀",     "<|turn>", "\u2581", "▁the"};
    std::string text;
    for (int i = 0; i < pieces; ++i) text += kPieces[random() % std::size(kPieces)];
    return text;
  }

  SmallTokenizer small_;
  std::unique_ptr<const Tokenizer> tokenizer_;
};

TEST_F(TokenizerTest, MergesByRank) {
  EXPECT_THAT(Pieces("the hello"), ElementsAre("the", " hello"));
  EXPECT_THAT(Pieces("abc bc"), ElementsAre("abc", " ", "bc"));
  EXPECT_THAT(Pieces("> </"), ElementsAre("> </"));
  EXPECT_THAT(Pieces("> <"), ElementsAre(">", " ", "<"));
  EXPECT_TRUE(Pieces("").empty());
}

TEST_F(TokenizerTest, UnknownCharactersFallToBytes) {
  EXPECT_THAT(Pieces("a😀b"), ElementsAre("a", "\xF0", "\x9F", "\x98", "\x80", "b"));
}

TEST_F(TokenizerTest, SpaceMarkIsASpace) { EXPECT_EQ(Encode("a\u2581the"), Encode("a the")); }

TEST_F(TokenizerTest, TextNeverBecomesAControlToken) {
  for (const TokenId control : tokenizer_->vocabulary().controls()) {
    const std::string text = absl::StrCat("a", tokenizer_->vocabulary().bytes(control), "<h1>");
    const std::vector<TokenId> ids = Encode(text);
    for (const TokenId id : ids) {
      EXPECT_FALSE(tokenizer_->vocabulary().IsControl(id)) << text;
      EXPECT_NE(tokenizer_->vocabulary().kind(id), PieceKind::kUnmergeable) << text;
    }
    EXPECT_EQ(*Detokenize(tokenizer_->vocabulary(), ids, true), text);
  }
}

TEST_F(TokenizerTest, MatchesControlTokensWhenAsked) {
  EXPECT_THAT(Pieces("a<|turn>user\n<turn|>", true),
              ElementsAre("a", "<|turn>", "user", "\n", "<turn|>"));
  EXPECT_THAT(Pieces("<|image>|><|image|>", true), ElementsAre("<|image>", "|", ">", "<|image|>"));
  EXPECT_THAT(Pieces("<<bos><bos", true), ElementsAre("<", "<bos>", "<", "b", "o", "s"));
}

TEST_F(TokenizerTest, TheLongestControlTokenWins) {
  small_.controls.push_back("<bos>>");
  tokenizer_ = *Tokenizer::Create(small_.Json());
  EXPECT_THAT(Pieces("<bos>>", true), ElementsAre("<bos>>"));
}

TEST_F(TokenizerTest, RefusesIllFormedText) {
  for (const bool match_special : {false, true}) {
    const absl::Status status = tokenizer_->Encode("ab\xE4\xB8", match_special).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetReason(status), Reason::kTextNotUtf8);
    EXPECT_EQ(GetErrorDetail(status)->actual, "byte 0xE4 at offset 2");
  }
  std::vector<TokenId> ids = {7};
  EXPECT_FALSE(tokenizer_->AppendText("\xED\xA0\x80", ids).ok());
  EXPECT_THAT(ids, ElementsAre(7));
}

TEST_F(TokenizerTest, EqualsTheDefinitionOnRandomText) {
  const uint64_t seed = 4711;
  std::mt19937_64 random(seed);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = RandomText(random, 1 + static_cast<int>(random() % 20));
    EXPECT_EQ(Encode(text), small_.ReferenceEncode(text)) << "seed " << seed << ": " << text;
    const auto back = Detokenize(tokenizer_->vocabulary(), Encode(text), true);
    EXPECT_EQ(*back, absl::StrReplaceAll(text, {{"\u2581", " "}}));
  }
}

TEST_F(TokenizerTest, LongWordsEqualOneCallOfSentencePiece) {
  const TokenizerJson json = *TokenizerJson::Parse(small_.Json(), "small");
  const WordEncoder encoder = *WordEncoder::Create(json, tokenizer_->vocabulary());
  std::mt19937_64 random(4712);
  std::vector<std::string> words = {std::string(1025, 'a'), std::string(9999, 'a'),
                                    std::string(5000, '\n'), std::string(5001, ' ')};
  for (int i = 0; i < 50; ++i) {
    std::string word;
    while (word.size() < 3000) {
      static constexpr const char* kPieces[] = {"a",   "aaaaaaa", "b",  "bc",
                                                "abc", "中文",    "he", "llo"};
      word += kPieces[random() % std::size(kPieces)];
    }
    words.push_back(word);
  }
  for (const std::string& word : words) {
    std::vector<TokenId> whole, cut;
    encoder.AppendIdsWhole(word, whole);
    encoder.AppendIds(word, cut);
    EXPECT_EQ(cut, whole) << word.substr(0, 40);
    EXPECT_EQ(Encode(word), whole) << word.substr(0, 40);
  }
}

// Every merge of this one stretches over the whole word, so windows cannot help.
TEST(WordEncoderTest, PiecesLongerThanAWindow) {
  SmallTokenizer small;
  std::string run = "d";
  for (int i = 0; i < 12; ++i) {
    small.merges.insert(small.merges.begin(), {run, run});
    run += run;
  }
  const auto tokenizer = Tokenizer::Create(small.Json());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto ids = (*tokenizer)->Encode(std::string(4096, 'd'), false);
  EXPECT_THAT(*ids, ElementsAre(small.IdOf(run)));
}

TEST_F(TokenizerTest, ManyThreadsGetTheSameIds) {
  std::mt19937_64 random(4713);
  std::vector<std::string> texts;
  std::vector<std::vector<TokenId>> expected;
  for (int i = 0; i < 50; ++i) {
    texts.push_back(RandomText(random, 30));
    expected.push_back(small_.ReferenceEncode(texts.back()));
  }
  const auto encode_all = [&] {
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(*tokenizer_->Encode(texts[i], false), expected[i]);
    }
  };
  std::array<std::thread, 4> threads;
  for (std::thread& thread : threads) thread = std::thread(encode_all);
  for (std::thread& thread : threads) thread.join();
}

TEST(WordCutTest, CutsWhereNoPieceReaches) {
  WordCut cut;
  for (const char* piece : {"the", " the", "  ", "\n\n", "> </", "中文"}) cut.AddPiece(piece);
  const auto words = [&](absl::string_view text) {
    std::vector<std::string> found;
    while (!text.empty()) {
      found.emplace_back(text.substr(0, cut.FirstWord(text)));
      text.remove_prefix(found.back().size());
    }
    return found;
  };
  EXPECT_THAT(words("the  the\n\nthe12"), ElementsAre("the", "  the", "\n\n", "the", "1", "2"));
  EXPECT_THAT(words("> </ >the"), ElementsAre("> </", " ", ">", "the"));
  EXPECT_THAT(words("中文中"), ElementsAre("中文", "中"));
}

TEST(WordCacheTest, KeepsShortWords) {
  WordCache cache;
  std::vector<TokenId> ids;
  EXPECT_FALSE(cache.AppendIds("the", ids));
  cache.Insert("the", {1, 2});
  EXPECT_TRUE(cache.AppendIds("the", ids));
  EXPECT_TRUE(cache.AppendIds("the", ids));
  EXPECT_THAT(ids, ElementsAre(1, 2, 1, 2));
  EXPECT_FALSE(cache.AppendIds("th", ids));
  cache.Insert(std::string(31, 'a'), {1});
  EXPECT_FALSE(cache.AppendIds(std::string(31, 'a'), ids));
  cache.Insert("b", std::vector<TokenId>(9, 1));
  EXPECT_FALSE(cache.AppendIds("b", ids));
  cache.Insert(std::string(30, '\0'), std::vector<TokenId>(8, 5));
  EXPECT_TRUE(cache.AppendIds(std::string(30, '\0'), ids));
}

TEST(WordCacheTest, StaysRightWhenOverfull) {
  WordCache cache;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 200000; ++i) {
      const std::string word = absl::StrCat("w", i);
      std::vector<TokenId> ids;
      if (cache.AppendIds(word, ids)) {
        EXPECT_THAT(ids, ElementsAre(i));
      }
      cache.Insert(word, {i});
    }
  }
}

}  // namespace
}  // namespace cleave
