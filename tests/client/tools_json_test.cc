#include "client/tools_json.h"

#include <gtest/gtest.h>

#include <string>

namespace cleave {
namespace {

TEST(ToolsJsonTest, ReadsBothForms) {
  const auto tools = ReadToolsJson(R"([
      {"type": "function", "function": {"name": "a", "description": "does a",
       "parameters": {"type": "object", "x": 1.0}, "response": {"type": "object"}}},
      {"name": "b", "description": null, "parameters": null}])");
  ASSERT_TRUE(tools.ok()) << tools.status();
  ASSERT_EQ(tools->size(), 2u);
  EXPECT_EQ(tools->at(0).name(), "a");
  EXPECT_EQ(tools->at(0).description(), "does a");
  EXPECT_EQ(tools->at(0).parameters(), R"({"type":"object","x":1.0})");
  EXPECT_EQ(tools->at(0).response(), R"({"type":"object"})");
  EXPECT_EQ(tools->at(1).name(), "b");
  EXPECT_EQ(tools->at(1).parameters(), "");
}

TEST(ToolsJsonTest, SaysWhatIsWrong) {
  const auto message = [](absl::string_view json) {
    return std::string(ReadToolsJson(json).status().message());
  };
  EXPECT_EQ(message("{}"), "the file is an object, expected a list of tools");
  EXPECT_EQ(message("[1]"), "[0] is a number, expected a function object");
  EXPECT_EQ(message(R"([{"function":{}}])"), "[0].name is missing, expected a string");
  EXPECT_EQ(message(R"([{"name":"a"},{"name":"b","description":1}])"),
            "[1].description is a number, expected a string");
  EXPECT_NE(message("[").find("not JSON"), std::string::npos);
}

}  // namespace
}  // namespace cleave
