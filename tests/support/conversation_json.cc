#include "tests/support/conversation_json.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::Status Refuse(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Null and missing are the same to the template.
const Json* Find(const Json& object, absl::string_view key) {
  const Json* member = object.Find(key);
  return member == nullptr || member->IsNull() ? nullptr : member;
}

std::string TextOr(const Json& object, absl::string_view key, absl::string_view otherwise = "") {
  const Json* member = Find(object, key);
  return std::string(member == nullptr || member->AsString() == nullptr ? otherwise
                                                                        : *member->AsString());
}

// The elements of a list; none when the member is no list.
const JsonArray& ListOf(const Json& object, absl::string_view key) {
  static const JsonArray& none = *new JsonArray();
  const Json* member = Find(object, key);
  return member == nullptr || member->AsArray() == nullptr ? none : *member->AsArray();
}

absl::StatusOr<std::optional<std::string>> ReadId(const Json& object, absl::string_view key) {
  const Json* member = Find(object, key);
  if (member == nullptr) return std::nullopt;
  if (member->AsString() == nullptr) return Refuse("an id that is no string");
  return *member->AsString();
}

absl::StatusOr<Role> ReadRole(const Json& message) {
  constexpr std::pair<absl::string_view, Role> kRoles[] = {
      {"system", Role::kSystem},       {"developer", Role::kDeveloper}, {"user", Role::kUser},
      {"assistant", Role::kAssistant}, {"model", Role::kModel},         {"tool", Role::kTool}};
  const std::string name = TextOr(message, "role");
  for (const auto& [known, role] : kRoles) {
    if (known == name) return role;
  }
  return Refuse("an unknown role");
}

std::optional<MediaKind> ReadMediaKind(const Json& part) {
  const std::string type = TextOr(part, "type");
  if (type == "image" || type == "image_url") return MediaKind::kImage;
  if (type == "audio" || type == "input_audio") return MediaKind::kAudio;
  if (type == "video") return MediaKind::kVideo;
  return std::nullopt;
}

// The template prints nothing for a part that it does not know, and reads the text of any part in
// the leading system message: both are text parts here.
Part ReadPart(const Json& part, bool in_leading_system) {
  if (in_leading_system) return TextPart{TextOr(part, "text")};
  if (const std::optional<MediaKind> kind = ReadMediaKind(part)) return MediaPart{*kind};
  return TextPart{TextOr(part, "type") == "text" ? TextOr(part, "text") : ""};
}

void ReadToolContent(const Json& message, Message& read) {
  const Json* content = Find(message, "content");
  if (content == nullptr) return;
  if (content->AsArray() == nullptr) {
    read.result = *content;
    return;
  }
  std::string text;
  for (const Json& part : *content->AsArray()) {
    if (const std::optional<MediaKind> kind = ReadMediaKind(part)) {
      read.parts.push_back(MediaPart{*kind});
    } else if (TextOr(part, "type") == "text") {
      absl::StrAppend(&text, TextOr(part, "text"));
    }
  }
  read.result = {std::move(text)};
}

// The template cannot print an object as a tool message's content. One that it does not come to,
// as it follows no call, is not looked at.
absl::Status CheckResults(const std::vector<Message>& messages) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].tool_calls.empty() || !messages[i].tool_responses.empty()) continue;
    for (size_t j = i + 1; j < messages.size() && messages[j].role == Role::kTool; ++j) {
      if (messages[j].result.AsObject() != nullptr) return Refuse("a result that is an object");
    }
  }
  return absl::OkStatus();
}

void ReadContent(const Json& message, bool is_first, Message& read) {
  const Json* content = Find(message, "content");
  if (content == nullptr) return;
  if (const std::string* text = content->AsString()) {
    read.parts.push_back(TextPart{*text});
  } else if (const JsonArray* parts = content->AsArray()) {
    const bool is_system = read.role == Role::kSystem || read.role == Role::kDeveloper;
    read.is_list = true;
    for (const Json& part : *parts) read.parts.push_back(ReadPart(part, is_first && is_system));
  }
}

absl::Status ReadToolCalls(const Json& message, Message& read) {
  for (const Json& call : ListOf(message, "tool_calls")) {
    const Json* function = Find(call, "function");
    const Json* arguments = function == nullptr ? nullptr : function->Find("arguments");
    if (arguments == nullptr) return Refuse("a call without arguments");
    ASSIGN_OR_RETURN(std::optional<std::string> id, ReadId(call, "id"));
    read.tool_calls.push_back({std::move(id), TextOr(*function, "name"), *arguments});
  }
  for (const Json& response : ListOf(message, "tool_responses")) {
    const Json* value = response.Find("response");
    if (value == nullptr) return Refuse("a tool response without a response");
    read.tool_responses.push_back({TextOr(response, "name"), *value});
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> ReadMessage(const Json& message, bool is_first) {
  Message read;
  ASSIGN_OR_RETURN(read.role, ReadRole(message));
  if (read.role == Role::kTool) {
    ASSIGN_OR_RETURN(read.call_id, ReadId(message, "tool_call_id"));
    read.tool_name = TextOr(message, "name");
    ReadToolContent(message, read);
    return read;
  }
  ReadContent(message, is_first, read);
  read.thought = TextOr(message, "reasoning");
  if (read.thought.empty()) read.thought = TextOr(message, "reasoning_content");
  RETURN_IF_ERROR(ReadToolCalls(message, read));
  return read;
}

bool ReadFlag(const Json& request, absl::string_view key) {
  const Json* member = Find(request, key);
  return member != nullptr && member->AsBool() != nullptr && *member->AsBool();
}

}  // namespace

absl::StatusOr<Conversation> ReadConversation(const Json& request) {
  Conversation conversation;
  for (const Json& message : ListOf(request, "messages")) {
    ASSIGN_OR_RETURN(Message read, ReadMessage(message, conversation.messages.empty()));
    conversation.messages.push_back(std::move(read));
  }
  RETURN_IF_ERROR(CheckResults(conversation.messages));
  for (const Json& tool : ListOf(request, "tools")) {
    const Json* function = Find(tool, "function");
    if (function == nullptr) return Refuse("a tool without a function");
    conversation.tools.push_back({*function});
  }
  return conversation;
}

TemplateOptions ReadTemplateOptions(const Json& request) {
  return {.thinking = ReadFlag(request, "enable_thinking"),
          .preserve_thinking = ReadFlag(request, "preserve_thinking"),
          .generation_prompt = ReadFlag(request, "add_generation_prompt")};
}

}  // namespace cleave
