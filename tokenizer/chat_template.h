// The chat format of Gemma 4 (template edition 2026-07-09): a conversation becomes a prompt.
#pragma once

#include "absl/status/statusor.h"
#include "tokenizer/conversation.h"
#include "tokenizer/rendered_prompt.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

struct TemplateOptions {
  bool thinking = false;
  // Thoughts of earlier answers stay where they belong to tool calls.
  bool preserve_thinking = false;
  // End with the beginning of the model's turn. Off: the conversation is printed as it stands.
  bool generation_prompt = true;
};

// Prints the conversation. INVALID_ARGUMENT with the field's path ("messages[2].parts[0]") for text
// that is not UTF-8 (Reason::kTextNotUtf8) and, with Reason::kFieldInvalid, where the format has no
// place for something: media in a leading system or developer message, arguments that are neither
// an object nor null, a tool without a name or whose schema is of another shape than JSON Schema's.
//
// What the format prints in a way that the model cannot read is not refused: an unanswered call,
// text beside calls, a schema without a type. Time is proportional to the conversation's size, but
// for sorting keys. Recurses as deep as the Json values do.
absl::StatusOr<RenderedPrompt> RenderChat(const Conversation& conversation,
                                          const TemplateOptions& options,
                                          const Vocabulary& vocabulary);

}  // namespace cleave
