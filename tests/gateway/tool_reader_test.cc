#include "gateway/tool_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "tests/gateway/refusal.h"

namespace cleave {
namespace {

class ToolReaderTest : public testing::Test {
 protected:
  absl::StatusOr<std::vector<Tool>> Read() {
    FieldReader fields(limits_);
    return ReadTools(request_, limits_, fields);
  }
  std::string RefusedField() { return CheckRefusal(Read().status()); }
  v1::Tool& Add(const std::string& name) {
    v1::Tool& tool = *request_.add_tools();
    tool.set_name(name);
    return tool;
  }

  RequestLimits limits_;
  v1::GenerateRequest request_;
};

TEST_F(ToolReaderTest, ReadsAndNormalizes) {
  v1::Tool& tool = Add("find.train-1");
  tool.set_description("Finds a train.");
  tool.set_parameters(R"({"properties":{"to":{"type":["string","null"]}}})");
  tool.set_response(R"({"description":"Where"})");
  Add("clock");
  const auto tools = Read();
  ASSERT_TRUE(tools.ok()) << tools.status();
  ASSERT_EQ(tools->size(), 2u);
  const Json& function = tools->at(0).function;
  EXPECT_EQ(*function.Find("name")->AsString(), "find.train-1");
  EXPECT_EQ(*function.Find("description")->AsString(), "Finds a train.");
  EXPECT_EQ(*function.Find("parameters")->Find("type")->AsString(), "object");
  EXPECT_TRUE(
      *function.Find("parameters")->Find("properties")->Find("to")->Find("nullable")->AsBool());
  EXPECT_EQ(*function.Find("response")->Find("type")->AsString(), "object");
  EXPECT_EQ(tools->at(1).function.Find("parameters"), nullptr);
}

TEST_F(ToolReaderTest, RefusesNames) {
  Add("");
  EXPECT_EQ(RefusedField(), "tools[0].name");
  request_.mutable_tools(0)->set_name("a b");
  EXPECT_EQ(RefusedField(), "tools[0].name");
  request_.mutable_tools(0)->set_name("a");
  Add("a");
  EXPECT_EQ(RefusedField(), "tools[1].name");
}

TEST_F(ToolReaderTest, RefusesTooManyTools) {
  for (int i = 0; i <= limits_.tools_max; ++i) Add(absl::StrCat("t", i));
  EXPECT_EQ(RefusedField(), "tools");
  request_.mutable_tools()->RemoveLast();
  EXPECT_TRUE(Read().ok());
}

TEST_F(ToolReaderTest, RefusesSchemas) {
  v1::Tool& tool = Add("f");
  for (const char* schema : {"{", "[]", "\"object\"", R"({"type":"string"})"}) {
    tool.set_parameters(schema);
    EXPECT_EQ(RefusedField().rfind("tools[0].parameters", 0), 0u) << schema;
  }
  tool.set_parameters(R"({"properties":{"a":{"type":1}}})");
  EXPECT_EQ(RefusedField(), "tools[0].parameters.properties.a.type");
  tool.set_parameters(absl::StrCat("{\"a\":\"", std::string(256 << 10, 'x'), "\"}"));
  EXPECT_EQ(RefusedField(), "tools[0].parameters");
  tool.set_parameters(std::string(33, '[') + std::string(33, ']'));
  EXPECT_EQ(RefusedField(), "tools[0].parameters");
  tool.clear_parameters();
  tool.set_response("[");
  EXPECT_EQ(RefusedField(), "tools[0].response");
}

TEST_F(ToolReaderTest, RefusesTooMuchJsonTogether) {
  for (int i = 0; i < 9; ++i) {
    Add(absl::StrCat("f", i))
        .set_parameters(absl::StrCat("{\"a\":\"", std::string(255 << 10, 'x'), "\"}"));
  }
  EXPECT_EQ(RefusedField(), "tools[8].parameters");
}

}  // namespace
}  // namespace cleave
