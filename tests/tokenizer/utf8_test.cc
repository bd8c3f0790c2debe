#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace cleave {
namespace {

TEST(Utf8Test, ReadsSequences) {
  EXPECT_EQ(ReadUtf8("a").code_point, U'a');
  EXPECT_EQ(ReadUtf8("éx").code_point, U'é');
  EXPECT_EQ(ReadUtf8("中x").length, 3u);
  EXPECT_EQ(ReadUtf8("😀x").code_point, U'😀');
  EXPECT_EQ(ReadUtf8("\xF4\x8F\xBF\xBF").code_point, char32_t{0x10FFFF});
  EXPECT_EQ(ReadUtf8(absl::string_view("\0", 1)).state, Utf8State::kComplete);
}

TEST(Utf8Test, TellsPartialFromBroken) {
  for (const char* partial : {"\xC3", "\xE4", "\xE4\xB8", "\xF0\x9F\x98", "\xE0\xA0", "\xED\x9F"}) {
    EXPECT_EQ(ReadUtf8(partial).state, Utf8State::kPartial) << partial;
  }
  // Stray continuation, overlong, surrogate, above U+10FFFF, never a lead byte, cut by another.
  for (const char* broken : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F", "\xED\xA0", "\xF0\x8F",
                             "\xF4\x90", "\xF5", "\xFF", "\xE4\xB8x", "\xC3\xC3\xA9"}) {
    EXPECT_EQ(ReadUtf8(broken).state, Utf8State::kBroken) << broken;
  }
}

TEST(Utf8Test, FindsTheFirstBadByte) {
  EXPECT_EQ(FindInvalidUtf8(""), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("plain ascii, long enough for a group"), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("中文 and 😀"), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("plain ascii\xFF"), 11u);
  EXPECT_EQ(FindInvalidUtf8("中\xE4\xB8"), 3u);
}

TEST(Utf8Test, FindsBoundaries) {
  const std::string text = "a中b";
  EXPECT_EQ(CodePointBoundaryAtMost(text, 0), 0u);
  EXPECT_EQ(CodePointBoundaryAtMost(text, 1), 1u);
  EXPECT_EQ(CodePointBoundaryAtMost(text, 3), 1u);
  EXPECT_EQ(CodePointBoundaryAtMost(text, 4), 4u);
  EXPECT_EQ(CodePointBoundaryAtMost(text, 99), 5u);
}

}  // namespace
}  // namespace cleave
