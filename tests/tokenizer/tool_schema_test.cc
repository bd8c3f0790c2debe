#include "tokenizer/tool_schema.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

std::string Normalized(absl::string_view text) {
  Json schema = *ParseJson(text, 32);
  const absl::Status status = NormalizeParameters(schema);
  EXPECT_TRUE(status.ok()) << status;
  return FormatJson(schema);
}

// One property, as the only one of an object.
std::string Property(absl::string_view text) {
  const std::string all =
      Normalized(absl::StrCat(R"({"type":"object","properties":{"p":)", text, "}}"));
  const size_t begin = std::string(R"({"type":"object","properties":{"p":)").size();
  return all.substr(begin, all.size() - begin - 2);
}

std::string RefusedField(absl::string_view text) {
  Json schema = *ParseJson(text, 32);
  const absl::Status status = NormalizeParameters(schema);
  EXPECT_EQ(GetReason(status), Reason::kFieldInvalid) << status;
  return GetErrorDetail(status).value_or(ErrorDetail{}).field;
}

TEST(ToolSchemaTest, AnObjectUnlessTold) {
  EXPECT_EQ(Normalized("{}"), R"({"type":"object"})");
  EXPECT_EQ(Normalized(R"({"properties":{}})"), R"({"properties":{},"type":"object"})");
  EXPECT_EQ(Normalized(R"({"type":"OBJECT"})"), R"({"type":"OBJECT"})");
}

TEST(ToolSchemaTest, ListsOfTypes) {
  EXPECT_EQ(Property(R"({"type":["string","null"]})"), R"({"type":"string","nullable":true})");
  EXPECT_EQ(Property(R"({"type":["null","integer","string"]})"),
            R"({"type":"integer","nullable":true})");
  EXPECT_EQ(Property(R"({"type":["number"]})"), R"({"type":"number"})");
  EXPECT_EQ(Property(R"({"type":["null"]})"), R"({"type":"null"})");
  // Of items a list can be shown.
  EXPECT_EQ(Property(R"({"type":"array","items":{"type":["string","null"]}})"),
            R"({"type":"array","items":{"type":["string","null"]}})");
  EXPECT_EQ(Property(R"({"type":"array","items":{"properties":{"a":{"type":["string","null"]}}}})"),
            R"({"type":"array","items":{"properties":{"a":{"type":"string","nullable":true}}}})");
}

TEST(ToolSchemaTest, TheOnlyAlternative) {
  EXPECT_EQ(Property(R"({"anyOf":[{"type":"string"},{"type":"null"}],"title":"T"})"),
            R"({"title":"T","type":"string","nullable":true})");
  EXPECT_EQ(
      Property(R"({"description":"d","oneOf":[{"type":["integer","null"],"description":"e"}]})"),
      R"({"description":"d","type":"integer","nullable":true})");
  for (const char* kept :
       {R"({"anyOf":[{"type":"string"},{"type":"integer"}]})", R"({"anyOf":[]})",
        R"({"anyOf":[{"type":"null"}]})", R"({"anyOf":1})", R"({"anyOf":[true]})",
        R"({"type":"string","anyOf":[{"type":"integer"}]})", "true"}) {
    EXPECT_EQ(Property(kept), kept);
  }
}

TEST(ToolSchemaTest, KeywordsOfAnObjectDoNotPassForProperties) {
  EXPECT_EQ(Property(R"({"type":"object","additionalProperties":false})"),
            R"({"type":"object","additionalProperties":false,"properties":{}})");
}

TEST(ToolSchemaTest, RefusesOtherShapes) {
  EXPECT_EQ(RefusedField("[]"), "");
  EXPECT_EQ(RefusedField(R"({"type":"string"})"), "type");
  EXPECT_EQ(RefusedField(R"({"type":["object"]})"), "type");
  EXPECT_EQ(RefusedField(R"({"description":1})"), "description");
  EXPECT_EQ(RefusedField(R"({"required":"a"})"), "required");
  EXPECT_EQ(RefusedField(R"({"required":[1]})"), "required");
  EXPECT_EQ(RefusedField(R"({"properties":[]})"), "properties");
  EXPECT_EQ(RefusedField(R"({"properties":{"a":1}})"), "properties.a");
  EXPECT_EQ(RefusedField(R"({"properties":{"a":{"type":1}}})"), "properties.a.type");
  EXPECT_EQ(RefusedField(R"({"properties":{"a":{"type":[]}}})"), "properties.a.type");
  EXPECT_EQ(RefusedField(R"({"properties":{"a":{"type":[1]}}})"), "properties.a.type");
  EXPECT_EQ(RefusedField(R"({"properties":{"a":{"items":{"properties":{"b":null}}}}})"),
            "properties.a.items.properties.b");
  EXPECT_EQ(RefusedField(absl::StrCat(R"({"properties":{")", std::string(1000, 'k'), "\":1}}")),
            absl::StrCat("properties.", std::string(64, 'k')));
}

TEST(ToolSchemaTest, ResponsesAreObjects) {
  Json schema = *ParseJson(R"({"description":"d"})", 32);
  EXPECT_TRUE(NormalizeResponse(schema).ok());
  EXPECT_EQ(FormatJson(schema), R"({"description":"d","type":"object"})");
  schema = *ParseJson(R"({"type":"string"})", 32);
  EXPECT_EQ(GetErrorDetail(NormalizeResponse(schema)).value_or(ErrorDetail{}).field, "type");
}

}  // namespace
}  // namespace cleave
