// The tools of a request.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "cleave/v1/chat.pb.h"
#include "gateway/field_reader.h"
#include "tokenizer/conversation.h"

namespace cleave {

// Checks the declarations and brings their schemas into the form that the chat format can show.
// INVALID_ARGUMENT with the field's path, as "tools[0].parameters.properties.city.type".
absl::StatusOr<std::vector<Tool>> ReadTools(const v1::GenerateRequest& request,
                                            const RequestLimits& limits, FieldReader& fields);

}  // namespace cleave
