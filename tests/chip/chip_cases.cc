#include "tests/chip/chip_cases.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/base/file.h"
#include "runtime/base/json_tree.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 30;
constexpr int kJsonDepth = 64;

void SortKeys(Json& json) {
  if (JsonArray* elements = json.AsArray()) {
    for (Json& element : *elements) SortKeys(element);
  } else if (JsonObject* members = json.AsObject()) {
    for (JsonMember& member : *members) SortKeys(member.value);
    std::sort(members->begin(), members->end(),
              [](const JsonMember& a, const JsonMember& b) { return a.key < b.key; });
  }
}

std::string TextOf(const Json& json, absl::string_view key) {
  const Json* member = json.Find(key);
  const std::string* text = member == nullptr ? nullptr : member->AsString();
  return text == nullptr ? "" : *text;
}

absl::StatusOr<ChipCase> ReadCase(absl::string_view line) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(line, kJsonDepth));
  const Json* request = json.Find("request");
  const Json* calls = json.Find("calls");
  if (request == nullptr || calls == nullptr || calls->AsArray() == nullptr) {
    return absl::InvalidArgumentError("a case without a request or a list of calls");
  }
  ChipCase read{.skill = TextOf(json, "skill"), .text = TextOf(json, "text")};
  const auto status =
      google::protobuf::util::JsonStringToMessage(FormatJson(*request), &read.request);
  if (!status.ok()) return absl::InvalidArgumentError(std::string(status.message()));
  for (const Json& call : *calls->AsArray()) {
    const Json* arguments = call.Find("arguments");
    if (arguments == nullptr) return absl::InvalidArgumentError("a call without arguments");
    ASSIGN_OR_RETURN(std::string described,
                     DescribeCall(TextOf(call, "name"), FormatJson(*arguments)));
    read.calls.push_back(std::move(described));
  }
  return read;
}

}  // namespace

absl::StatusOr<std::string> DescribeCall(absl::string_view name, absl::string_view arguments) {
  ASSIGN_OR_RETURN(Json json, ParseJson(arguments, kJsonDepth));
  SortKeys(json);
  return absl::StrCat(name, FormatJson(json));
}

absl::StatusOr<std::vector<ChipCase>> ReadChipCases(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path, kFileBytesMax));
  std::vector<ChipCase> cases;
  for (const absl::string_view line : absl::StrSplit(content, '\n', absl::SkipEmpty())) {
    absl::StatusOr<ChipCase> read = ReadCase(line);
    if (!read.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " line ", cases.size() + 1, ": ", read.status().message()));
    }
    cases.push_back(*std::move(read));
  }
  return cases;
}

}  // namespace cleave
