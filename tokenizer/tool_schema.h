// Brings a tool's JSON schemas into the form that the chat format can show.
#pragma once

#include "absl/status/status.h"
#include "runtime/base/json_tree.h"

namespace cleave {

// The schema of a tool's arguments: an object's. One without a type gets it. In every property a
// list of types becomes the first that is not null, with nullable for null, and anyOf or oneOf with
// one alternative besides null becomes that alternative; an object without properties gets an empty
// set of them. INVALID_ARGUMENT (Reason::kFieldInvalid),
// the field's path starting inside the schema ("properties.city.type"), where it is not as JSON
// Schema has it. Recurses as deep as `schema` does.
absl::Status NormalizeParameters(Json& schema);

// The schema of a tool's result: only its description is shown, and that it is an object. It gets
// the type when it has none; another type is an error as above.
absl::Status NormalizeResponse(Json& schema);

}  // namespace cleave
