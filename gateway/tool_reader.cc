#include "gateway/tool_reader.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/tool_schema.h"

namespace cleave {
namespace {

using Normalize = absl::Status (*)(Json& schema);

absl::Status AddSchema(const std::string& path, const std::string& key, const std::string& text,
                       Normalize normalize, const RequestLimits& limits, FieldReader& fields,
                       JsonObject& function) {
  if (text.empty()) return absl::OkStatus();
  const std::string field = absl::StrCat(path, ".", key);
  ASSIGN_OR_RETURN(Json schema, fields.ReadJson(field, text, limits.schema_bytes_max));
  RETURN_IF_ERROR(PrefixField(normalize(schema), field));
  function.push_back({key, std::move(schema)});
  return absl::OkStatus();
}

absl::StatusOr<Tool> ReadTool(const std::string& path, const v1::Tool& tool,
                              const RequestLimits& limits, FieldReader& fields) {
  RETURN_IF_ERROR(fields.CheckToolName(absl::StrCat(path, ".name"), tool.name()));
  RETURN_IF_ERROR(fields.CheckText(absl::StrCat(path, ".description"), tool.description()));
  JsonObject function = {{"name", {tool.name()}}, {"description", {tool.description()}}};
  RETURN_IF_ERROR(AddSchema(path, "parameters", tool.parameters(), &NormalizeParameters, limits,
                            fields, function));
  RETURN_IF_ERROR(
      AddSchema(path, "response", tool.response(), &NormalizeResponse, limits, fields, function));
  return Tool{{std::move(function)}};
}

}  // namespace

absl::StatusOr<std::vector<Tool>> ReadTools(const v1::GenerateRequest& request,
                                            const RequestLimits& limits, FieldReader& fields) {
  RETURN_IF_ERROR(AtMost("tools", request.tools_size(), limits.tools_max, " tools"));
  std::vector<Tool> tools;
  std::set<std::string> names;
  for (int i = 0; i < request.tools_size(); ++i) {
    const std::string path = absl::StrCat("tools[", i, "]");
    ASSIGN_OR_RETURN(Tool tool, ReadTool(path, request.tools(i), limits, fields));
    if (!names.insert(request.tools(i).name()).second) {
      return Invalid(absl::StrCat(path, ".name"), "a name that no other tool has",
                     absl::StrCat("\"", request.tools(i).name(), "\" again"));
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

}  // namespace cleave
