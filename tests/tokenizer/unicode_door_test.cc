#include "tokenizer/unicode_door.h"

#include <gtest/gtest.h>

namespace cleave {
namespace {

TEST(UnicodeDoorTest, FullCaseMappings) {
  EXPECT_EQ(UpperCase("string"), "STRING");
  EXPECT_EQ(UpperCase("stra\u00dfe \ufb01"), "STRASSE FI");
  EXPECT_EQ(LowerCase("ABC\u00c4"), "abc\u00e4");
  EXPECT_EQ(LowerCase("\u0130"), "i\u0307");
  EXPECT_EQ(LowerCase("\u03a3\u03a3 \u03a3"), "\u03c3\u03c2 \u03c3");  // final, and alone
  EXPECT_EQ(UpperCase(""), "");
}

TEST(UnicodeDoorTest, Printable) {
  for (const char32_t c : {U' ', U'a', U'\u00e9', U'\u4e2d', U'\U0001F600', U'\u0301'}) {
    EXPECT_TRUE(IsPrintable(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c :
       {U'\n', U'\u007f', U'\u00a0', U'\u00ad', U'\u2028', U'\ue000', U'\ufffe'}) {
    EXPECT_FALSE(IsPrintable(c)) << static_cast<uint32_t>(c);
  }
}

}  // namespace
}  // namespace cleave
