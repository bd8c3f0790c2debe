#include "client/tools_json.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/json_tree.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr int kDepthMax = 64;  // the server's limit, and what stands around a schema

absl::Status Refuse(const std::string& path, absl::string_view expected, const Json* found) {
  return absl::InvalidArgumentError(absl::StrCat(
      path, " is ", found == nullptr ? "missing" : found->TypeName(), ", expected ", expected));
}

// A member that may be absent or null.
const Json* Find(const Json& object, absl::string_view key) {
  const Json* member = object.Find(key);
  return member == nullptr || member->IsNull() ? nullptr : member;
}

std::string SchemaText(const Json& function, absl::string_view key) {
  const Json* schema = Find(function, key);
  return schema == nullptr ? "" : FormatJson(*schema);
}

absl::StatusOr<v1::Tool> ReadTool(const std::string& path, const Json& element) {
  const Json* inner = element.Find("function");
  const Json& function = inner == nullptr ? element : *inner;
  if (function.AsObject() == nullptr) return Refuse(path, "a function object", &function);
  const Json* name = Find(function, "name");
  if (name == nullptr || name->AsString() == nullptr) {
    return Refuse(absl::StrCat(path, ".name"), "a string", name);
  }
  const Json* description = Find(function, "description");
  if (description != nullptr && description->AsString() == nullptr) {
    return Refuse(absl::StrCat(path, ".description"), "a string", description);
  }
  v1::Tool tool;
  tool.set_name(*name->AsString());
  if (description != nullptr) tool.set_description(*description->AsString());
  tool.set_parameters(SchemaText(function, "parameters"));
  tool.set_response(SchemaText(function, "response"));
  return tool;
}

}  // namespace

absl::StatusOr<std::vector<v1::Tool>> ReadToolsJson(absl::string_view json) {
  ASSIGN_OR_RETURN(const Json list, ParseJson(json, kDepthMax));
  if (list.AsArray() == nullptr) return Refuse("the file", "a list of tools", &list);
  std::vector<v1::Tool> tools;
  for (const Json& element : *list.AsArray()) {
    ASSIGN_OR_RETURN(v1::Tool tool, ReadTool(absl::StrCat("[", tools.size(), "]"), element));
    tools.push_back(std::move(tool));
  }
  return tools;
}

}  // namespace cleave
