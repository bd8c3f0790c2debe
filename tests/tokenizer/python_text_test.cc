#include "tokenizer/python_text.h"

#include <gtest/gtest.h>

#include <string>

namespace cleave {
namespace {

Json Parsed(absl::string_view text) { return *ParseJson(text, 32); }

// What Python 3.11 prints for json.loads(text).
TEST(PythonTextTest, Numbers) {
  const std::pair<const char*, const char*> kCases[] = {
      {"0", "0"},
      {"-0", "0"},
      {"-1", "-1"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"1.0", "1.0"},
      {"1.50", "1.5"},
      {"-0.0", "-0.0"},
      {"0e5", "0.0"},
      {"1e5", "100000.0"},
      {"1e15", "1000000000000000.0"},
      {"1e16", "1e+16"},
      {"123456789012345680.0", "1.2345678901234568e+17"},
      {"0.0001", "0.0001"},
      {"0.00001", "1e-05"},
      {"1.5e300", "1.5e+300"},
      {"5e-324", "5e-324"},
      {"1e-400", "0.0"},
      {"0.1", "0.1"},
      {"9007199254740993.0", "9007199254740992.0"},
      {"-12.5e-3", "-0.0125"}};
  for (const auto& [literal, printed] : kCases) {
    EXPECT_EQ(PythonNumber({literal}), printed) << literal;
  }
}

TEST(PythonTextTest, Values) {
  EXPECT_EQ(PythonText(Parsed("\"it's\"")), "it's");
  EXPECT_EQ(PythonText(Parsed("null")), "None");
  EXPECT_EQ(PythonText(Parsed("[true,false,null,1.0,\"a\"]")), "[True, False, None, 1.0, 'a']");
  EXPECT_EQ(PythonText(Parsed(R"({"a":[],"b":{}})")), "{'a': [], 'b': {}}");
  EXPECT_EQ(PythonText(Parsed(R"(["it's","a\"b","'\""])")), R"(["it's", 'a"b', '\'"'])");
  EXPECT_EQ(
      PythonText(Parsed(R"(["\n\r\t\\\u0001\u007f\u00e9\u00ad\u200b\u3000\ue000\udb40\udc01"])")),
      "['\\n\\r\\t\\\\\\x01\\x7f\u00e9\\xad\\u200b\\u3000\\ue000\\U000e0001']");
}

TEST(PythonTextTest, Truth) {
  for (const char* text : {"null", "false", "0", "-0", "0.0", "-0.0e5", "\"\"", "[]", "{}"}) {
    EXPECT_FALSE(IsTruthy(Parsed(text))) << text;
  }
  for (const char* text : {"true", "10", "-0.1", "\" \"", "[null]", "{\"a\":0}"}) {
    EXPECT_TRUE(IsTruthy(Parsed(text))) << text;
  }
}

}  // namespace
}  // namespace cleave
