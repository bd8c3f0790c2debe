// Conversations as the reference's chat template reads them (the JSON of OpenAI's chat API, with
// the model's own `tool_responses`): for golden cases and the fuzz target.
#pragma once

#include "absl/status/statusor.h"
#include "runtime/base/json_tree.h"
#include "tokenizer/chat_template.h"

namespace cleave {

// {"messages": [...], "tools": [...], "enable_thinking", "preserve_thinking",
// "add_generation_prompt"}. INVALID_ARGUMENT for what the template refuses (a tool result that is
// an object) and for what it would read in a way of its own (a role that it does not know).
absl::StatusOr<Conversation> ReadConversation(const Json& request);
TemplateOptions ReadTemplateOptions(const Json& request);

}  // namespace cleave
