// Cases with one right answer each, made by deploy/chip/train/cases.py.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cleave/v1/chat.pb.h"

namespace cleave {

struct ChipCase {
  std::string skill;  // a line of the model card; "... (unseen)" by voices or in fonts never met
  v1::GenerateRequest request;     // greedy
  std::string text;                // the answer, when it is no calls
  std::vector<std::string> calls;  // see DescribeCall
};

// "name{"a": 1, "b": 2}": the arguments with their keys in order, so that equal calls are equal.
// INVALID_ARGUMENT when they are not JSON.
absl::StatusOr<std::string> DescribeCall(absl::string_view name, absl::string_view arguments);

// One case a line.
absl::StatusOr<std::vector<ChipCase>> ReadChipCases(const std::string& path);

}  // namespace cleave
