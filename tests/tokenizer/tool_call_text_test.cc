#include "tokenizer/tool_call_text.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace cleave {
namespace {

// '`' stands for the quote token. The call as NAME and arguments; "malformed" when it is none.
std::string Read(absl::string_view text) {
  const auto call = ParseToolCall(absl::StrReplaceAll(text, {{"`", std::string(1, kCallQuote)}}));
  return call ? absl::StrCat(call->name, call->arguments) : "malformed";
}

TEST(ToolCallTextTest, ReadsValues) {
  EXPECT_EQ(Read("call:f{}"), "f{}");
  EXPECT_EQ(Read("call:a.b-c_1{s:`x`,n:-1.50,t:true,z:null,l:[1,`a`,{}],o:{k:[]}}"),
            R"(a.b-c_1{"s":"x","n":-1.50,"t":true,"z":null,"l":[1,"a",{}],"o":{"k":[]}})");
  EXPECT_EQ(Read("call:f{`a:b`:`}`,key with space:1}"), R"(f{"a:b":"}","key with space":1})");
  EXPECT_EQ(Read("call:f{s:`\n\t\"\\\x01`}"), R"(f{"s":"\n\t\"\\\u0001"})");
}

TEST(ToolCallTextTest, IsLenientWhereModelsSlip) {
  EXPECT_EQ(Read(" call:f { a : 1 , b : [ 1 , ] , }\n"), R"(f{"a":1,"b":[1]})");
  EXPECT_EQ(Read("call:f{a:red sky,b:NIL,c:01,d:1e,e:-,f:True}"),
            R"(f{"a":"red sky","b":null,"c":"01","d":"1e","e":"-","f":"True"})");
}

TEST(ToolCallTextTest, RefusesWhatIsNoCall) {
  for (const char* text :
       {"", "call", "call:f", "call:{}", "call:f g{}", "call:f{", "call:f{}x", "call:f{a}",
        "call:f{a:}", "call:f{:1}", "call:f{,}", "call:f{a:1,,}", "call:f{a:[1}", "call:f{a:`x}",
        "call:f{a:x`y`}", "call:f{a`b`:1}", "call:`f`{}", "call:f{`a`x:1}"}) {
    EXPECT_EQ(Read(text), "malformed") << text;
  }
}

// What the API would refuse when the call comes back in the conversation is no call.
TEST(ToolCallTextTest, WhatTheApiRefusesIsMalformed) {
  EXPECT_EQ(Read("call:f{x:1e999}"), "malformed");
  EXPECT_EQ(Read("call:f{x:1e308}"), "f{\"x\":1e308}");
  EXPECT_EQ(Read(absl::StrCat("call:", std::string(65, 'a'), "{}")), "malformed");
  EXPECT_EQ(Read(absl::StrCat("call:", std::string(64, 'a'), "{}")), std::string(64, 'a') + "{}");
}

TEST(ToolCallTextTest, DepthIsBounded) {
  const auto nested = [](size_t lists) {
    return Read(absl::StrCat("call:f{a:", std::string(lists, '['), std::string(lists, ']'), "}"));
  };
  EXPECT_NE(nested(31), "malformed");
  EXPECT_EQ(nested(32), "malformed");
  EXPECT_EQ(nested(1'000'000), "malformed");
}

}  // namespace
}  // namespace cleave
