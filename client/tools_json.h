// Tools as other APIs' clients have them.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cleave/v1/chat.pb.h"

namespace cleave {

// Tools from the JSON of OpenAI's chat API: a list of {"type": "function", "function": {...}} or of
// the inner objects alone, with name, description, parameters, response. INVALID_ARGUMENT for
// anything else; what the server checks is left to it.
absl::StatusOr<std::vector<v1::Tool>> ReadToolsJson(absl::string_view json);

}  // namespace cleave
