// What the chat format prints: messages with their media, thoughts, tool calls and results, and the
// tools that the model may call.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/base/json_tree.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

enum class Role {
  kSystem,
  kDeveloper,
  kUser,
  kAssistant,  // consecutive assistant messages are one turn of the model
  kModel,      // the same, but it is not continued by the next message
  kTool,       // the result of a call; printed inside the turn of the message that called
};

inline bool IsSystem(Role role) { return role == Role::kSystem || role == Role::kDeveloper; }

enum class MediaKind { kImage, kAudio, kVideo };

struct TextPart {
  std::string text;  // UTF-8; white space at both ends is not printed
};

// A picture, a sound or a video; where it stands is all that the format needs to know.
struct MediaPart {
  MediaKind kind;
};

using Part = std::variant<TextPart, MediaPart>;

struct ToolCall {
  std::optional<std::string> id;  // two that are absent are equal
  std::string name;
  Json arguments;  // an object, or null for none
};

// A result inside the message that called, as the model's own format has it.
struct ToolResponse {
  std::string name;  // empty: "unknown"
  Json response;     // an object is printed by its members, anything else as "value"
};

struct Message {
  Role role;
  std::vector<Part> parts;  // in order; printed with nothing between them
  // The client sent a list of parts, not one string. The format prints a space after each part of a
  // list in the leading system message, and nowhere else makes a difference.
  bool is_list = false;

  // Of an answer. The thought is printed as it is, where the format keeps it: after the last user
  // message, or beside tool calls when thoughts are preserved.
  std::string thought;
  std::vector<ToolCall> tool_calls;
  std::vector<ToolResponse> tool_responses;  // instead of tool messages

  // Of a tool message, whose parts are media alone. Printed only when it stands right behind the
  // message that called. Of several calls with its id the last gives the name.
  std::optional<std::string> call_id;
  std::string tool_name;  // where no call has the id; empty: "unknown"
  Json result;            // printed as ToolResponse::response
};

// A tool as the model learns of it: {"name", "description", "parameters", "response"}, the last two
// JSON schemas. Only the name is required; `description` prints as empty without one.
struct Tool {
  Json function;
};

struct Conversation {
  std::vector<Message> messages;
  std::vector<Tool> tools;
};

// The format prints the text of a message that calls after the results, and ends the turn there if
// nothing follows, though the model said it before it called. So that it goes on where it was, such
// text becomes the end of the message's thought, in the messages after the last of the user, whose
// thoughts are printed; what the text itself holds of thoughts is left out.
void MoveTextBesideCalls(std::vector<Message>& messages, const Vocabulary& vocabulary);

}  // namespace cleave
