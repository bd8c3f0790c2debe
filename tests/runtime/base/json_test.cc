#include "runtime/base/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace cleave {
namespace {

JsonDocument Parsed(absl::string_view text) {
  absl::StatusOr<JsonDocument> document = JsonDocument::Parse(text, "f.json");
  EXPECT_TRUE(document.ok()) << document.status();
  return *std::move(document);
}
std::string Message(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(JsonTest, ReadsEachType) {
  const JsonDocument document = Parsed(
      R"({"i": -3, "d": 1e-6, "b": true, "s": "\u00e9\n", "n": null, "o": {"x": [1, "2"]}})");
  const JsonValue root = document.root();
  EXPECT_TRUE(root.IsObject());
  EXPECT_EQ(root.Int("i").value(), -3);
  EXPECT_EQ(root.Double("d").value(), 1e-6);
  EXPECT_EQ(root.Double("i").value(), -3.0);
  EXPECT_TRUE(root.Bool("b").value());
  EXPECT_EQ(root.String("s").value(), "\xc3\xa9\n");
  EXPECT_FALSE(root.Has("n"));
  EXPECT_FALSE(root.Has("absent"));
  EXPECT_TRUE(root.Member("n").value().IsNull());
  const auto list = root.Object("o").value().Member("x").value().AsArray().value();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].AsInt().value(), 1);
  EXPECT_EQ(list[1].AsString().value(), "2");
}

TEST(JsonTest, NumbersAreExact) {
  const JsonDocument document = Parsed(
      R"({"zero": 0e268, "tiny": 4.9e-324, "none": 1e-400, "sum": 0.30000000000000004,
          "long": 0.1000000000000000055511151231257827021181583404541015625,
          "least": -9223372036854775808, "beyond": 9223372036854775808, "minus": -0.5, "text": "7"})");
  const JsonValue root = document.root();
  EXPECT_EQ(root.Double("zero").value(), 0);
  EXPECT_EQ(root.Double("tiny").value(), 4.9e-324);
  EXPECT_EQ(root.Double("none").value(), 0);
  EXPECT_EQ(root.Double("sum").value(), 0.30000000000000004);
  EXPECT_EQ(root.Double("long").value(), 0.1);
  EXPECT_EQ(root.Double("minus").value(), -0.5);
  EXPECT_EQ(root.Int("least").value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Message(root.Int("beyond").status()), "f.json: beyond is not a 64-bit integer");
  EXPECT_EQ(root.Double("beyond").value(), 9223372036854775808.0);
  EXPECT_FALSE(root.Double("text").ok());
  for (const char* text :
       {"1e999", "-1e999", "1.7976931348623159e308", "01", "+1", "1.", ".5", "1e"}) {
    EXPECT_FALSE(JsonDocument::Parse(text, "f.json").ok()) << text;
  }
  EXPECT_EQ(Message(JsonDocument::Parse("1.7976931348623159e308", "f.json").status()),
            "f.json: at byte 0: a number beyond a double or half of a surrogate pair");
}

TEST(JsonTest, HalfOfASurrogatePairAndANulAreRefused) {
  for (const absl::string_view text :
       {absl::string_view(R"("\udc00")"), absl::string_view(R"({"\udc00":1})"),
        absl::string_view(R"("\ud800")"), absl::string_view("{}\0x", 4)}) {
    EXPECT_FALSE(JsonDocument::Parse(text, "f.json").ok()) << text;
  }
}

TEST(JsonTest, ErrorsNameThePlace) {
  const JsonDocument document = Parsed(R"({"a": {"b": [0, "x"]}, "big": 3000000000})");
  const JsonValue root = document.root();
  EXPECT_EQ(Message(root.Int("gone").status()), "f.json: gone is missing");
  const JsonValue inner = root.Object("a").value();
  EXPECT_EQ(Message(inner.Int("b").status()), "f.json: a.b is not a 64-bit integer");
  const auto list = inner.Member("b").value().AsArray().value();
  EXPECT_EQ(Message(list[1].AsInt().status()), "f.json: a.b[1] is not a 64-bit integer");
  EXPECT_EQ(Message(root.Int("big", {0, 100}).status()),
            "f.json: big is 3000000000, allowed is 0 to 100");
  EXPECT_EQ(Message(root.Object("big").status()), "f.json: big is not an object");
}

TEST(JsonTest, AListIsCountedBeforeItIsRead) {
  const JsonDocument document = Parsed(R"({"x": [1, 2, 3]})");
  const JsonValue list = document.root().Member("x").value();
  EXPECT_EQ(list.AsArray(3).value().size(), 3u);
  EXPECT_EQ(Message(list.AsArray(2).status()), "f.json: x has 3 elements, allowed are at most 2");
}

TEST(JsonTest, MembersKeepTheirOrderAndMayNotRepeat) {
  const JsonDocument ordered = Parsed(R"({"z": 1, "a": 2, "m": 3})");
  std::string keys;
  const auto members = ordered.root().AsMembers();
  for (const auto& [key, value] : *members) keys += std::string(key);
  EXPECT_EQ(keys, "zam");
  const JsonDocument twice = Parsed(R"({"z": 1, "z": 2})");
  EXPECT_NE(Message(twice.root().AsMembers().status()).find("\"z\" occurs twice"),
            std::string::npos);
}

TEST(JsonTest, RefusesWhatIsNotOneJsonValue) {
  for (const char* text : {"", "{", "[1,]", "nul", "1 2", "{\"a\" 1}", "\"\xff\"", "[1] x"}) {
    EXPECT_FALSE(JsonDocument::Parse(text, "f.json").ok()) << text;
  }
  EXPECT_NE(
      Message(JsonDocument::Parse("[1, oops]", "f.json").status()).find("f.json: not JSON at byte"),
      std::string::npos);
}

TEST(JsonTest, DepthIsBounded) {
  const std::string deep = std::string(64, '[') + std::string(64, ']');
  EXPECT_TRUE(JsonDocument::Parse(deep, "f.json").ok());
  const std::string deeper = std::string(65, '[') + std::string(65, ']');
  EXPECT_NE(Message(JsonDocument::Parse(deeper, "f.json").status()).find("deeper than 64"),
            std::string::npos);
  const std::string hostile(1 << 20, '[');
  EXPECT_FALSE(JsonDocument::Parse(hostile, "f.json").ok());
  EXPECT_TRUE(JsonDocument::Parse("\"" + std::string(100, '[') + "\"", "f.json").ok());
}

TEST(JsonTest, IntegersOutsideTheirRange) {
  const JsonDocument document =
      Parsed(R"({"max": 9223372036854775807, "over": 9223372036854775808, "half": 0.5})");
  EXPECT_EQ(document.root().Int("max").value(), INT64_MAX);
  EXPECT_FALSE(document.root().Int("over").ok());
  EXPECT_FALSE(document.root().Int("half").ok());
}

}  // namespace
}  // namespace cleave
