#include "tokenizer/chat_template.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/chat_text.h"

namespace cleave {
namespace {

bool IsSystem(Role role) { return role == Role::kSystem || role == Role::kDeveloper; }
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
      break;
  }
  return "model";
}

std::string PartField(size_t message, size_t part) {
  return absl::StrCat("messages[", message, "].parts[", part, "]");
}

// Prints a conversation into a RenderedPrompt, step by step as the reference's template does.
class Renderer {
 public:
  Renderer(absl::Span<const Message> messages, const TemplateOptions& options,
           const Vocabulary& vocabulary)
      : messages_(messages),
        options_(options),
        vocabulary_(vocabulary),
        special_(vocabulary.special()) {}

  RenderedPrompt Render() && {
    Control(special_.bos);
    const bool leads_with_system = !messages_.empty() && IsSystem(messages_[0].role);
    if (leads_with_system || options_.thinking) {
      SystemTurn(leads_with_system ? &messages_[0] : nullptr);
    }
    std::optional<Role> previous;
    for (size_t i = leads_with_system ? 1 : 0; i < messages_.size(); ++i) {
      Turn(i, previous);
      previous = messages_[i].role;
    }
    if (options_.generation_prompt) GenerationPrompt();
    return std::move(prompt_);
  }

 private:
  void SystemTurn(const Message* message) {
    Control(special_.turn_begin);
    Text("system\n");
    if (options_.thinking) {
      Control(special_.think);
      Text("\n");
    }
    if (message != nullptr) {
      for (const Part& part : message->parts) {
        Text(TrimWhitespace(std::get<TextPart>(part).text));
        if (message->is_list) Text(" ");
      }
    }
    EndTurn();
  }

  void Turn(size_t index, std::optional<Role> previous) {
    const Message& message = messages_[index];
    const bool is_model = IsModel(message.role);
    if (!is_model || previous != Role::kAssistant) {
      Control(special_.turn_begin);
      Text(absl::StrCat(TurnName(message.role), "\n"));
    }
    for (size_t part = 0; part < message.parts.size(); ++part) {
      if (const auto* media = std::get_if<MediaPart>(&message.parts[part])) {
        Media({media->kind, static_cast<int>(index), static_cast<int>(part)});
      } else {
        const std::string& text = std::get<TextPart>(message.parts[part]).text;
        Text(is_model ? StripThoughts(text, vocabulary_.bytes(special_.channel_begin),
                                      vocabulary_.bytes(special_.channel_end))
                      : TrimWhitespace(text));
      }
    }
    const bool is_continued =
        is_model && index + 1 < messages_.size() && messages_[index + 1].role == Role::kAssistant;
    if (!is_continued) EndTurn();
  }

  // Without thinking the prompt holds a thought that is already over, so the answer starts at once.
  void GenerationPrompt() {
    Control(special_.turn_begin);
    Text("model\n");
    if (options_.thinking) return;
    Control(special_.channel_begin);
    Text("thought\n");
    Control(special_.channel_end);
  }

  void EndTurn() {
    Control(special_.turn_end);
    Text("\n");
  }

  void Control(TokenId id) { prompt_.segments.push_back(RenderedPrompt::Control{id}); }

  void Text(absl::string_view text) {
    if (text.empty()) return;
    std::vector<RenderedPrompt::Segment>& segments = prompt_.segments;
    if (segments.empty() || !std::holds_alternative<std::string>(segments.back())) {
      segments.push_back(std::string());
    }
    absl::StrAppend(&std::get<std::string>(segments.back()), text);
  }

  void Media(const MediaPlace& place) {
    prompt_.segments.push_back(RenderedPrompt::Media{static_cast<int>(prompt_.media.size())});
    prompt_.media.push_back(place);
  }

  const absl::Span<const Message> messages_;
  const TemplateOptions options_;
  const Vocabulary& vocabulary_;
  const SpecialTokens& special_;
  RenderedPrompt prompt_;
};

absl::Status CheckMessages(absl::Span<const Message> messages) {
  for (size_t i = 0; i < messages.size(); ++i) {
    for (size_t j = 0; j < messages[i].parts.size(); ++j) {
      if (const auto* text = std::get_if<TextPart>(&messages[i].parts[j])) {
        RETURN_IF_ERROR(CheckUtf8(text->text, PartField(i, j)));
      } else if (i == 0 && IsSystem(messages[i].role)) {
        return InvalidField(Reason::kFieldInvalid, PartField(i, j),
                            "text in a leading system message", "media");
      }
    }
  }
  return absl::OkStatus();
}

// Turns segments into ids. Text is gathered until a control token ends it.
class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer)
      : tokenizer_(tokenizer), special_(tokenizer.vocabulary().special()) {}

  void AddText(absl::string_view text) { absl::StrAppend(&text_, text); }

  absl::Status AddControl(TokenId id) {
    RETURN_IF_ERROR(tokenizer_.AppendText(text_, encoded_.ids));
    text_.clear();
    encoded_.ids.push_back(id);
    return absl::OkStatus();
  }

  absl::Status AddMedia(int index, MediaKind kind, const MediaExtent& extent) {
    if (kind == MediaKind::kVideo) return AddVideo(index, extent);
    const MediaSpan span{
        .media = index, .frame = 0, .kind = kind, .first = 0, .tokens = extent.tokens};
    if (kind == MediaKind::kImage) {
      return AddSpan(span, special_.image_begin, special_.image_soft, special_.image_end);
    }
    return AddSpan(span, special_.audio_begin, special_.audio_soft, special_.audio_end);
  }

  absl::StatusOr<EncodedPrompt> Finish() && {
    RETURN_IF_ERROR(tokenizer_.AppendText(text_, encoded_.ids));
    return std::move(encoded_);
  }

 private:
  absl::Status AddVideo(int index, const MediaExtent& extent) {
    if (extent.frames.empty()) return NoTokens(index);
    for (size_t i = 0; i < extent.frames.size(); ++i) {
      const auto [seconds, tokens] = extent.frames[i];
      AddText(absl::StrFormat("%s%02d:%02d ", i == 0 ? "" : " ", seconds / 60, seconds % 60));
      const MediaSpan span{.media = index,
                           .frame = static_cast<int>(i),
                           .kind = MediaKind::kVideo,
                           .first = 0,
                           .tokens = tokens};
      RETURN_IF_ERROR(AddSpan(span, special_.image_begin, special_.video_soft, special_.image_end));
    }
    return absl::OkStatus();
  }

  absl::Status AddSpan(MediaSpan span, TokenId begin, TokenId soft, TokenId end) {
    if (span.tokens < 1) return NoTokens(span.media);
    RETURN_IF_ERROR(AddControl(begin));
    span.first = static_cast<int64_t>(encoded_.ids.size());
    encoded_.ids.insert(encoded_.ids.end(), static_cast<size_t>(span.tokens), soft);
    encoded_.spans.push_back(span);
    return AddControl(end);
  }

  static absl::Status NoTokens(int index) {
    return InvalidField(Reason::kMediaLimit, absl::StrCat("media[", index, "]"), "at least 1 token",
                        "none");
  }

  const Tokenizer& tokenizer_;
  const SpecialTokens& special_;
  std::string text_;
  EncodedPrompt encoded_;
};

TokenId SoftToken(MediaKind kind, const SpecialTokens& special) {
  if (kind == MediaKind::kImage) return special.image_soft;
  return kind == MediaKind::kAudio ? special.audio_soft : special.video_soft;
}

}  // namespace

absl::StatusOr<RenderedPrompt> RenderChat(absl::Span<const Message> messages,
                                          const TemplateOptions& options,
                                          const Vocabulary& vocabulary) {
  RETURN_IF_ERROR(CheckMessages(messages));
  return Renderer(messages, options, vocabulary).Render();
}

std::string SpellOut(const RenderedPrompt& prompt, const Vocabulary& vocabulary) {
  std::string text;
  for (const RenderedPrompt::Segment& segment : prompt.segments) {
    if (const auto* control = std::get_if<RenderedPrompt::Control>(&segment)) {
      absl::StrAppend(&text, vocabulary.bytes(control->id));
    } else if (const auto* media = std::get_if<RenderedPrompt::Media>(&segment)) {
      const MediaKind kind = prompt.media[static_cast<size_t>(media->index)].kind;
      absl::StrAppend(&text, vocabulary.bytes(SoftToken(kind, vocabulary.special())));
    } else {
      absl::StrAppend(&text, std::get<std::string>(segment));
    }
  }
  return text;
}

absl::StatusOr<EncodedPrompt> EncodePrompt(const RenderedPrompt& prompt,
                                           absl::Span<const MediaExtent> extents,
                                           const Tokenizer& tokenizer) {
  CHECK(extents.size() == prompt.media.size());
  Encoder encoder(tokenizer);
  for (const RenderedPrompt::Segment& segment : prompt.segments) {
    if (const auto* control = std::get_if<RenderedPrompt::Control>(&segment)) {
      RETURN_IF_ERROR(encoder.AddControl(control->id));
    } else if (const auto* media = std::get_if<RenderedPrompt::Media>(&segment)) {
      const auto i = static_cast<size_t>(media->index);
      RETURN_IF_ERROR(encoder.AddMedia(media->index, prompt.media[i].kind, extents[i]));
    } else {
      encoder.AddText(std::get<std::string>(segment));
    }
  }
  return std::move(encoder).Finish();
}

}  // namespace cleave
