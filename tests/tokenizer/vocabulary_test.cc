#include "tokenizer/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "tests/tokenizer/small_tokenizer.h"

namespace cleave {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Vocabulary> Make(std::string json, absl::string_view config = "") {
  const absl::StatusOr<TokenizerJson> parsed = TokenizerJson::Parse(std::move(json), "t.json");
  if (!parsed.ok()) return parsed.status();
  return Vocabulary::Create(*parsed, config);
}

TEST(VocabularyTest, KindsAndBytes) {
  const SmallTokenizer small;
  const absl::StatusOr<Vocabulary> vocabulary = Make(small.Json());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  const auto kind = [&](absl::string_view spelling) {
    return vocabulary->kind(small.IdOf(spelling));
  };
  const auto bytes = [&](absl::string_view spelling) {
    return vocabulary->bytes(small.IdOf(spelling));
  };
  EXPECT_EQ(kind("a"), PieceKind::kText);
  EXPECT_EQ(kind("▁the"), PieceKind::kText);
  EXPECT_EQ(kind("<h1>"), PieceKind::kUnmergeable);
  EXPECT_EQ(kind("<0xE4>"), PieceKind::kByte);
  EXPECT_EQ(kind("<|turn>"), PieceKind::kControl);
  EXPECT_EQ(bytes("▁the"), " the");
  EXPECT_EQ(bytes("<h1>"), "<h1>");
  EXPECT_EQ(bytes("<0xE4>"), "\xE4");
  EXPECT_EQ(bytes("<|turn>"), "<|turn>");
  EXPECT_EQ(vocabulary->controls().size(), 24u);
  EXPECT_EQ(vocabulary->FindControl("<mask>"), small.IdOf("<mask>"));
  EXPECT_EQ(vocabulary->FindControl("a"), std::nullopt);
  EXPECT_FALSE(vocabulary->Contains(-1));
  EXPECT_TRUE(vocabulary->Contains(vocabulary->size() - 1));
  EXPECT_FALSE(vocabulary->Contains(vocabulary->size()));
}

TEST(VocabularyTest, SpecialTokensAreFoundBySpelling) {
  const SmallTokenizer small;
  const absl::StatusOr<Vocabulary> vocabulary = Make(small.Json());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  const SpecialTokens& special = vocabulary->special();
  EXPECT_EQ(special.bos, small.IdOf("<bos>"));
  EXPECT_EQ(special.turn_begin, small.IdOf("<|turn>"));
  EXPECT_EQ(special.quote, small.IdOf("<|\"|>"));
  EXPECT_EQ(special.video_soft, small.IdOf("<|video|>"));
  EXPECT_EQ(special.eos, small.IdOf("<eos>"));
  EXPECT_EQ(special.pad, small.IdOf("<pad>"));
}

TEST(VocabularyTest, ConfigNamesOtherSpellings) {
  SmallTokenizer small;
  for (std::string& control : small.controls) {
    if (control == "<|turn>") control = "<start_of_turn>";
    if (control == "<turn|>") control = "<end_of_turn>";
    if (control == "<|think|>") control = "<ponder>";
  }
  const absl::StatusOr<Vocabulary> vocabulary = Make(small.Json(), R"({
      "bos_token": {"content": "<bos>"}, "sot_token": "<start_of_turn>", "pad_token": null,
      "model_specific_special_tokens": {"eot_token": "<end_of_turn>"},
      "extra_special_tokens": {"think_token": {"content": "<ponder>"}}})");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->special().turn_begin, small.IdOf("<start_of_turn>"));
  EXPECT_EQ(vocabulary->special().turn_end, small.IdOf("<end_of_turn>"));
  EXPECT_EQ(vocabulary->special().think, small.IdOf("<ponder>"));
}

TEST(VocabularyTest, NamesAMissingSpecialToken) {
  SmallTokenizer small;
  std::erase(small.controls, "<|think|>");
  const absl::Status status = Make(small.Json()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("<|think|>"));
}

TEST(VocabularyTest, EosAndPadMayBeMissing) {
  SmallTokenizer small;
  std::erase(small.controls, "<eos>");
  std::erase(small.controls, "<pad>");
  const absl::StatusOr<Vocabulary> vocabulary = Make(small.Json());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->special().eos, std::nullopt);
  EXPECT_EQ(vocabulary->special().pad, std::nullopt);
}

TEST(VocabularyTest, AMergeOfAnUnmergeablePieceDoesNotCount) {
  SmallTokenizer small;
  small.pieces.push_back("q-");  // two characters and no merge
  small.merges.push_back({"q-", "a"});
  const absl::StatusOr<Vocabulary> vocabulary = Make(small.Json());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->kind(small.IdOf("q-a")), PieceKind::kUnmergeable);
}

TEST(VocabularyTest, LoadsAFolder) {
  const std::string folder = testing::TempDir() + "/vocabulary_folder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  EXPECT_EQ(Vocabulary::Load(folder).status().code(), absl::StatusCode::kNotFound);
  std::ofstream(folder + "/tokenizer.json") << SmallTokenizer().Json();
  EXPECT_TRUE(Vocabulary::Load(folder).ok());
  std::ofstream(folder + "/tokenizer_config.json") << R"({"sot_token": "<other>"})";
  EXPECT_THAT(std::string(Vocabulary::Load(folder).status().message()), HasSubstr("<other>"));
}

// One thing wrong in an otherwise good file, and what the message must name.
struct Fault {
  const char* name;
  const char* from;
  const char* to;
  const char* message;
};

class FaultyFileTest : public testing::TestWithParam<Fault> {};

TEST_P(FaultyFileTest, IsRefused) {
  const std::string good = SmallTokenizer().Json();
  ASSERT_THAT(good, HasSubstr(GetParam().from));
  const std::string bad = absl::StrReplaceAll(good, {{GetParam().from, GetParam().to}});
  const absl::Status status = Make(bad).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("t.json"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, FaultyFileTest,
    testing::Values(
        Fault{"NotJson", R"("model":)", R"("model")", "not JSON at byte"},
        Fault{"NoModel", R"("model":)", R"("other":)", "model is not an object"},
        Fault{"OtherType", R"("BPE")", R"("Unigram")", "model.type"},
        Fault{"NoFallback", R"("byte_fallback":true)", R"("byte_fallback":false)", "byte_fallback"},
        Fault{"Dropout", R"("dropout":null)", R"("dropout":0.1)", "dropout"},
        Fault{"Prefix", R"("dropout":null)", R"("continuing_subword_prefix":"##")",
              "continuing_subword_prefix"},
        Fault{"IgnoreMerges", R"("dropout":null)", R"("ignore_merges":true)", "ignore_merges"},
        Fault{"Normalizer", R"("Replace")", R"("NFC")", "normalizer"},
        Fault{"PreTokenizer", R"("pre_tokenizer":null)", R"("pre_tokenizer":{"type":"ByteLevel"})",
              "pre_tokenizer"},
        Fault{"VocabIsList", R"("vocab":{)", R"("vocab":[],"x":{)", "model.vocab is not"},
        Fault{"IdIsText", R"("a":259)", R"("a":"259")", "\"a\""},
        Fault{"IdIsNegative", R"("a":259)", R"("a":-1)", "\"a\""},
        Fault{"IdIsHuge", R"("a":259)", R"("a":4294967296)", "\"a\""},
        Fault{"IdTwice", R"("a":259)", R"("a":260)", "260"},
        Fault{"IdBeyond", R"("a":259)", R"("a":999999)", "999999"},
        Fault{"PieceTwice", R"("a":259)", R"("b":260)", "twice"},
        Fault{"PieceTwiceOtherId", R"("a":259)", R"("b":259)", "\"b\""},
        Fault{"EmptyPiece", R"("a":259)", R"("":259)", "empty"},
        Fault{"NotUtf8", "中文", "\xE4\xB8", "not UTF-8 at byte"},
        Fault{"HalfASurrogatePair", R"("<h1>":)", R"("\udc00x":)", "is not UTF-8"},
        Fault{"ByteMissing", R"("<0xFF>")", R"("<0xff>")", "255 of 256"},
        Fault{"MergesMissing", R"("merges":)", R"("x":)", "model.merges is not"},
        Fault{"MergeIsText", R"(["h","e"])", R"("h e")", "model.merges[4]"},
        Fault{"MergeOfThree", R"(["h","e"])", R"(["h","e","l"])", "model.merges[4]"},
        Fault{"MergeOfUnknown", R"(["h","e"])", R"(["x","e"])", "\"x\""},
        Fault{"MergeToUnknown", R"(["h","e"])", R"(["o","o"])", "\"oo\""},
        Fault{"MergeOfByte", R"(["h","e"])", R"(["<0x41>","e"])", "a byte piece"},
        Fault{"UnknownMissing", R"("unk_token":"<unk>")", R"("unk_token":"<h1>")", "unk_token"},
        Fault{"UnknownIsNull", R"("unk_token":"<unk>")", R"("unk_token":null)", "unk_token"},
        Fault{"AddedIsObject", R"("added_tokens":[)", R"("added_tokens":{},"x":[)", "added_tokens"},
        Fault{"AddedWithoutText", R"("content":"<bos>")", R"("content":2)", ".content"},
        Fault{"AddedOrdinary", R"("normalized":false,"special":true)",
              R"("normalized":false,"special":false)", "not special"},
        Fault{"AddedStrips", R"("lstrip":false)", R"("lstrip":true)", "lstrip"},
        Fault{"AddedTwice", R"("content":"<eos>")", R"("content":"<bos>")", "<bos>"}),
    [](const testing::TestParamInfo<Fault>& fault) { return fault.param.name; });

TEST(TokenizerJsonTest, ControlTokensAreNeverMade) {
  SmallTokenizer small;
  small.pieces.push_back("bos>");
  small.merges.push_back({"<", "bos>"});
  EXPECT_THAT(std::string(Make(small.Json()).status().message()), HasSubstr("an added token"));
  SmallTokenizer single;
  single.controls.push_back("✂");
  EXPECT_THAT(std::string(Make(single.Json()).status().message()), HasSubstr("single character"));
}

TEST(TokenizerJsonTest, RefusesDepthZerosAndSize) {
  EXPECT_THAT(std::string(Make(std::string(1000, '[')).status().message()), HasSubstr("nested"));
  EXPECT_THAT(std::string(Make(std::string(10, '\0')).status().message()), HasSubstr("zero byte"));
  EXPECT_THAT(std::string(Make("{\"\xE4").status().message()), HasSubstr("not UTF-8 at byte 2"));
  EXPECT_THAT(std::string(Make("").status().message()), HasSubstr("not JSON"));
  EXPECT_THAT(std::string(Make("[1]").status().message()), HasSubstr("model"));
  const std::string path = testing::TempDir() + "/tokenizer.json";
  std::ofstream(path) << "{}";
  std::filesystem::resize_file(path, (size_t{256} << 20) + 1);  // sparse
  EXPECT_THAT(std::string(TokenizerJson::Load(testing::TempDir()).status().message()),
              HasSubstr("268435457 bytes"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace cleave
