#include "runtime/base/json_tree.h"

#include <gtest/gtest.h>

#include <string>

namespace cleave {
namespace {

Json Parsed(absl::string_view text) {
  const absl::StatusOr<Json> json = ParseJson(text, 32);
  EXPECT_TRUE(json.ok()) << json.status();
  return json.value_or(Json{});
}

TEST(JsonTreeTest, ReadsEachType) {
  const Json json = Parsed(R"( {"n":null,"b":true,"s":"\u00e9\ud83d\ude00","l":[1,{}],"o":{}} )");
  EXPECT_TRUE(json.Find("n")->IsNull());
  EXPECT_TRUE(*json.Find("b")->AsBool());
  EXPECT_EQ(*json.Find("s")->AsString(), "\u00e9\U0001F600");
  EXPECT_EQ(json.Find("l")->AsArray()->size(), 2u);
  EXPECT_EQ(json.Find("l")->AsArray()->at(1).TypeName(), "an object");
  EXPECT_TRUE(json.Find("o")->AsObject()->empty());
  EXPECT_EQ(json.Find("absent"), nullptr);
  EXPECT_EQ(json.Find("s")->Find("x"), nullptr);
  EXPECT_EQ(json.Find("s")->AsNumber(), nullptr);
}

TEST(JsonTreeTest, NumbersKeepTheirSpelling) {
  for (const std::string number : {"0", "-0", "1", "1.0", "-0.0", "1e5", "1E-07",
                                   "9007199254740993", "123456789012345678901234567890"}) {
    EXPECT_EQ(Parsed(number).AsNumber()->text, number);
  }
}

TEST(JsonTreeTest, IntegersAreExactWithinTheRangeOfADouble) {
  EXPECT_EQ(Parsed(std::string(300, '9')).AsNumber()->text, std::string(300, '9'));
  EXPECT_FALSE(ParseJson(std::string(400, '9'), 32).ok());
}

TEST(JsonTreeTest, ARepeatedKeyKeepsItsFirstPlaceAndItsLastValue) {
  const Json json = Parsed(R"({"a":1,"b":2,"a":[3],"b":4,"c":5})");
  const JsonObject& members = *json.AsObject();
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].key, "a");
  EXPECT_EQ(members[0].value.AsArray()->front().AsNumber()->text, "3");
  EXPECT_EQ(members[1].value.AsNumber()->text, "4");
  EXPECT_EQ(members[2].key, "c");
}

TEST(JsonTreeTest, FormatsWhatItRead) {
  const std::string text =
      R"({"n":null,"b":[true,false],"x":-1.50e+5,"s":"\u0001\"\\/\n\r\t\b\f","é":{},"l":[]})";
  EXPECT_EQ(FormatJson(Parsed(text)), text);
  EXPECT_EQ(FormatJson(Parsed(" [ 1 , \"\\u00e9\\/\" ] ")), "[1,\"é/\"]");
}

TEST(JsonTreeTest, RefusesWhatIsNotJson) {
  for (const char* text : {"", "{", "[1,]", "01", "+1", "NaN", "1 2", "{\"a\" 1}", "\"\\ud800\"",
                           "\"\xff\"", "'a'", "1e400", "[-1e999]"}) {
    const absl::Status status = ParseJson(text, 32).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_FALSE(ParseJson(absl::string_view("{}\0x", 4), 32).ok());  // the library stops at a NUL
}

TEST(JsonTreeTest, HalfOfASurrogatePairIsNoText) {
  for (const char* text : {R"("\ud800")", R"("\udc00")", R"("a\udfffb")", R"({"\udddd":1})",
                           R"("\ud800\u0041")", R"("\udc00\ud800")"}) {
    EXPECT_FALSE(ParseJson(text, 32).ok()) << text;
  }
  EXPECT_EQ(*Parsed(R"("\ud7ff\ue000")").AsString(), "\uD7FF\uE000");
}

TEST(JsonTreeTest, DepthIsBounded) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(ParseJson(nested(32), 32).ok());
  const absl::Status status = ParseJson(nested(33), 32).status();
  EXPECT_NE(status.message().find("nested deeper than 32 levels"), absl::string_view::npos);
  EXPECT_FALSE(ParseJson(std::string(1'000'000, '['), 32).ok());
}

}  // namespace
}  // namespace cleave
