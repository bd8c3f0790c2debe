#include "tokenizer/chat_template.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/chat_text.h"
#include "tokenizer/prompt_writer.h"
#include "tokenizer/tool_format.h"

namespace cleave {
namespace {

bool IsModel(Role role) { return role == Role::kAssistant || role == Role::kModel; }

// The role's name in a turn's first line.
absl::string_view TurnName(Role role) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kDeveloper:
      return "developer";
    case Role::kUser:
      return "user";
    case Role::kAssistant:
    case Role::kModel:
    case Role::kTool:
      break;
  }
  return "model";
}

// Which name a result's id stands for: of several calls with one id the last one's.
using CallNames = absl::flat_hash_map<std::optional<std::string>, absl::string_view>;

CallNames NamesOf(const std::vector<ToolCall>& calls) {
  CallNames names;
  for (const ToolCall& call : calls) names.insert_or_assign(call.id, call.name);
  return names;
}

absl::string_view NameOr(absl::string_view name) { return name.empty() ? "unknown" : name; }

// Prints a conversation into a RenderedPrompt, step by step as the reference's template does.
class Renderer {
 public:
  Renderer(const Conversation& conversation, const TemplateOptions& options,
           const Vocabulary& vocabulary)
      : messages_(conversation.messages),
        tools_(conversation.tools),
        options_(options),
        channel_begin_(vocabulary.bytes(vocabulary.special().channel_begin)),
        channel_end_(vocabulary.bytes(vocabulary.special().channel_end)),
        writer_(vocabulary),
        special_(writer_.special()) {}

  absl::StatusOr<RenderedPrompt> Render() && {
    writer_.Control(special_.bos);
    const bool leads_with_system = !messages_.empty() && IsSystem(messages_[0].role);
    if (leads_with_system || options_.thinking || !tools_.empty()) {
      RETURN_IF_ERROR(SystemTurn(leads_with_system ? &messages_[0] : nullptr));
    }
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role == Role::kUser) last_user_ = i;
    }
    for (size_t i = leads_with_system ? 1 : 0; i < messages_.size(); ++i) {
      if (messages_[i].role != Role::kTool) Turn(i);
    }
    if (options_.generation_prompt) GenerationPrompt();
    return std::move(writer_).Finish();
  }

 private:
  // What stands last: it decides how the turn ends and how the prompt does.
  enum class Last { kText, kCall, kResponse };

  absl::Status SystemTurn(const Message* message) {
    writer_.Control(special_.turn_begin);
    writer_.Text("system\n");
    if (options_.thinking) {
      writer_.Control(special_.think);
      writer_.Text("\n");
    }
    if (message != nullptr) {
      for (const Part& part : message->parts) {
        writer_.Text(TrimWhitespace(std::get<TextPart>(part).text));
        if (message->is_list) writer_.Text(" ");
      }
    }
    for (size_t i = 0; i < tools_.size(); ++i) {
      writer_.Control(special_.tool_begin);
      const absl::Status written = WriteDeclaration(tools_[i], writer_);
      if (!written.ok()) return PrefixField(written, absl::StrCat("tools[", i, "]"));
      writer_.Control(special_.tool_end);
    }
    EndTurn();
    return absl::OkStatus();
  }

  void Turn(size_t index) {
    const Message& message = messages_[index];
    const bool is_model = IsModel(message.role);
    last_ = Last::kText;
    if (!is_model || previous_ != Role::kAssistant) {
      writer_.Control(special_.turn_begin);
      writer_.Text(absl::StrCat(TurnName(message.role), "\n"));
    }
    Thought(message, index);
    for (const ToolCall& call : message.tool_calls) {
      WriteToolCall(call, writer_);
      last_ = Last::kCall;
    }
    Results(message, index);
    const bool has_content = Content(message, index);
    EndTurnOf(message, index, has_content);
    previous_ = message.role;
  }

  void Thought(const Message& message, size_t index) {
    if (message.thought.empty()) return;
    const bool is_current = !last_user_ || index > *last_user_;
    if (!is_current && !(options_.preserve_thinking && !message.tool_calls.empty())) return;
    writer_.Control(special_.channel_begin);
    writer_.Text(absl::StrCat("thought\n", message.thought, "\n"));
    writer_.Control(special_.channel_end);
  }

  void Results(const Message& message, size_t index) {
    for (const ToolResponse& response : message.tool_responses) {
      WriteToolResponse(NameOr(response.name), response.response, writer_);
      last_ = Last::kResponse;
    }
    if (message.tool_calls.empty() || !message.tool_responses.empty()) return;
    const CallNames names = NamesOf(message.tool_calls);
    for (size_t i = index + 1; i < messages_.size() && messages_[i].role == Role::kTool; ++i) {
      const auto found = names.find(messages_[i].call_id);
      WriteToolResponse(found != names.end() ? found->second : NameOr(messages_[i].tool_name),
                        messages_[i].result, writer_);
      for (size_t part = 0; part < messages_[i].parts.size(); ++part) MediaOf(i, part);
      last_ = Last::kResponse;
    }
  }

  bool MediaOf(size_t message, size_t part) {
    const auto* media = std::get_if<MediaPart>(&messages_[message].parts[part]);
    if (media == nullptr) return false;
    writer_.Media({media->kind, static_cast<int>(message), static_cast<int>(part)});
    return true;
  }

  // False when nothing was to be printed.
  bool Content(const Message& message, size_t index) {
    bool has_content = false;
    for (size_t part = 0; part < message.parts.size(); ++part) {
      if (MediaOf(index, part)) {
        has_content = true;
        continue;
      }
      const std::string& text = std::get<TextPart>(message.parts[part]).text;
      const std::string cleaned = IsModel(message.role)
                                      ? StripThoughts(text, channel_begin_, channel_end_)
                                      : std::string(TrimWhitespace(text));
      has_content = has_content || !cleaned.empty();
      writer_.Text(cleaned);
    }
    return has_content;
  }

  // A call without its result is left open, and so is a turn that the next message continues or
  // that the model is to go on with after a result.
  void EndTurnOf(const Message& message, size_t index, bool has_content) {
    size_t next = index + 1;
    while (next < messages_.size() && messages_[next].role == Role::kTool) ++next;
    const bool is_last = next == messages_.size();
    const bool is_answered = last_ == Last::kResponse;
    if (last_ == Last::kCall) return writer_.Control(special_.tool_response_begin);
    const bool is_continued =
        IsModel(message.role) && !is_last && messages_[next].role == Role::kAssistant;
    if (!is_continued && !(is_answered && !has_content && is_last)) EndTurn();
  }

  // Without thinking the prompt holds a thought that is already over, so the answer starts at once.
  void GenerationPrompt() {
    if (last_ == Last::kText) {
      writer_.Control(special_.turn_begin);
      writer_.Text("model\n");
      if (options_.thinking) return;
      OpenThought();
      writer_.Control(special_.channel_end);
    } else if (last_ == Last::kResponse && options_.thinking) {
      OpenThought();
      writer_.EndInThought();
    }
  }

  void OpenThought() {
    writer_.Control(special_.channel_begin);
    writer_.Text("thought\n");
  }

  void EndTurn() {
    writer_.Control(special_.turn_end);
    writer_.Text("\n");
  }

  const std::vector<Message>& messages_;
  const std::vector<Tool>& tools_;
  const TemplateOptions options_;
  const absl::string_view channel_begin_, channel_end_;
  PromptWriter writer_;
  const SpecialTokens& special_;
  std::optional<size_t> last_user_;
  std::optional<Role> previous_;  // of the last message that was no tool result
  Last last_ = Last::kText;
};

absl::Status CheckCalls(const std::vector<ToolCall>& calls, absl::string_view path) {
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string call = absl::StrCat(path, ".tool_calls[", i, "]");
    RETURN_IF_ERROR(CheckUtf8(calls[i].name, absl::StrCat(call, ".name")));
    const Json& arguments = calls[i].arguments;
    if (arguments.AsObject() != nullptr || arguments.IsNull()) continue;
    return InvalidField(Reason::kFieldInvalid, absl::StrCat(call, ".arguments"), "an object",
                        arguments.TypeName());
  }
  return absl::OkStatus();
}

absl::Status CheckMessage(const Message& message, absl::string_view path, bool is_first) {
  for (size_t i = 0; i < message.parts.size(); ++i) {
    const std::string part = absl::StrCat(path, ".parts[", i, "]");
    if (const auto* text = std::get_if<TextPart>(&message.parts[i])) {
      RETURN_IF_ERROR(CheckUtf8(text->text, part));
    } else if (is_first && IsSystem(message.role)) {
      return InvalidField(Reason::kFieldInvalid, part, "text in a leading system message", "media");
    }
  }
  RETURN_IF_ERROR(CheckUtf8(message.thought, absl::StrCat(path, ".thought")));
  RETURN_IF_ERROR(CheckUtf8(message.tool_name, absl::StrCat(path, ".tool_name")));
  return CheckCalls(message.tool_calls, path);
}

}  // namespace

absl::StatusOr<RenderedPrompt> RenderChat(const Conversation& conversation,
                                          const TemplateOptions& options,
                                          const Vocabulary& vocabulary) {
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    RETURN_IF_ERROR(
        CheckMessage(conversation.messages[i], absl::StrCat("messages[", i, "]"), i == 0));
  }
  return Renderer(conversation, options, vocabulary).Render();
}

}  // namespace cleave
