#include "tokenizer/conversation.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "tokenizer/chat_text.h"

namespace cleave {
namespace {

void MoveText(Message& message, const Vocabulary& vocabulary) {
  const absl::string_view begin = vocabulary.bytes(vocabulary.special().channel_begin);
  const absl::string_view end = vocabulary.bytes(vocabulary.special().channel_end);
  std::vector<Part> kept;
  for (Part& part : message.parts) {
    const auto* text = std::get_if<TextPart>(&part);
    if (text == nullptr) {
      kept.push_back(std::move(part));
      continue;
    }
    const std::string said = StripThoughts(text->text, begin, end);
    if (said.empty()) continue;
    absl::StrAppend(&message.thought, message.thought.empty() ? "" : "\n\n", said);
  }
  message.parts = std::move(kept);
}

}  // namespace

void MoveTextBesideCalls(std::vector<Message>& messages, const Vocabulary& vocabulary) {
  const auto last_user =
      std::find_if(messages.rbegin(), messages.rend(),
                   [](const Message& message) { return message.role == Role::kUser; });
  for (auto message = last_user.base(); message != messages.end(); ++message) {
    if (!message->tool_calls.empty()) MoveText(*message, vocabulary);
  }
}

}  // namespace cleave
