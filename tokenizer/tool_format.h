// The syntax in which the chat format shows tools, calls and results. Keys are sorted by their
// lower case, strings stand between quote tokens without escapes. Internal to tokenizer/.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tokenizer/conversation.h"
#include "tokenizer/prompt_writer.h"

namespace cleave {

// "declaration:NAME{description:...,parameters:{...}}". INVALID_ARGUMENT (Reason::kFieldInvalid),
// the field's path starting inside the tool ("parameters.properties.city"), where the function has
// no name or the schema is not as JSON Schema has it: the reference has no rendering for that.
absl::Status WriteDeclaration(const Tool& tool, PromptWriter& writer);

// The call between its control tokens. Arguments that are no object count as none.
void WriteToolCall(const ToolCall& call, PromptWriter& writer);

// The result between its control tokens.
void WriteToolResponse(absl::string_view name, const Json& response, PromptWriter& writer);

}  // namespace cleave
