#include "tests/golden/text_check.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "runtime/base/status.h"
#include "tests/golden/text_cases.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/stream_detokenizer.h"

namespace cleave::golden {
namespace {

LineResult Compare(const std::vector<TokenId>& found, const std::vector<TokenId>& expected) {
  if (found == expected) return {Verdict::kSame, ""};
  return {Verdict::kDiffers,
          absl::StrCat("found ", ShowIds(found), ", expected ", ShowIds(expected))};
}

absl::StatusOr<LineResult> CheckTokenizerLine(const Tokenizer& tokenizer, const JsonValue& line) {
  ASSIGN_OR_RETURN(const std::string text, line.String("text"));
  ASSIGN_OR_RETURN(const bool special, line.Bool("special"));
  ASSIGN_OR_RETURN(const std::vector<TokenId> expected, ReadIds(line, "ids"));
  // Twice: the second time the words come out of the cache.
  for (int round = 0; round < 2; ++round) {
    ASSIGN_OR_RETURN(const std::vector<TokenId> found, tokenizer.Encode(text, special));
    LineResult result = Compare(found, expected);
    if (result.verdict != Verdict::kSame) return result;
  }
  return LineResult{Verdict::kSame, ""};
}

absl::StatusOr<LineResult> CheckDetokenizerLine(const Vocabulary& vocabulary,
                                                const JsonValue& line) {
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, ReadIds(line, "ids"));
  ASSIGN_OR_RETURN(const bool skip_special, line.Bool("skip_special"));
  ASSIGN_OR_RETURN(const JsonValue deltas_member, line.Member("deltas"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> deltas, deltas_member.AsArray());
  ASSIGN_OR_RETURN(const std::string expected_tail, line.String("tail"));
  ASSIGN_OR_RETURN(const std::string expected_text, line.String("text"));
  StreamDetokenizer detokenizer(vocabulary, skip_special);
  for (size_t i = 0; i < ids.size(); ++i) {
    std::string delta;
    RETURN_IF_ERROR(detokenizer.Push(ids[i], delta));
    ASSIGN_OR_RETURN(const absl::string_view expected, deltas.at(i).AsString());
    if (delta != expected) {
      return LineResult{Verdict::kDiffers, absl::StrCat("id ", i, " releases \"", delta,
                                                        "\", expected \"", expected, "\"")};
    }
  }
  std::string tail;
  detokenizer.Finish(tail);
  ASSIGN_OR_RETURN(const std::string text, Detokenize(vocabulary, ids, skip_special));
  const bool same = tail == expected_tail && text == expected_text;
  return LineResult{same ? Verdict::kSame : Verdict::kDiffers,
                    absl::StrCat("tail \"", tail, "\", text \"", text, "\"")};
}

// A member that is absent, null, false, "" or empty: the template does not see it.
bool IsUnused(const JsonValue& object, absl::string_view key) {
  if (!object.Has(key)) return true;
  const JsonValue value = *object.Member(key);
  if (value.IsString()) return value.AsString()->empty();
  if (value.IsArray()) return value.AsArray()->empty();
  return false;
}

bool IsPlainMessage(const JsonValue& message) {
  for (const char* key : {"tool_calls", "tool_responses", "reasoning", "reasoning_content"}) {
    if (!IsUnused(message, key)) return false;
  }
  const absl::StatusOr<std::string> role = message.String("role");
  return role.ok() && *role != "tool";
}

absl::StatusOr<Role> ReadRole(const JsonValue& message) {
  ASSIGN_OR_RETURN(const std::string name, message.String("role"));
  if (name == "system") return Role::kSystem;
  if (name == "developer") return Role::kDeveloper;
  if (name == "user") return Role::kUser;
  if (name == "assistant") return Role::kAssistant;
  if (name == "model") return Role::kModel;
  return absl::InvalidArgumentError(absl::StrCat("unknown role ", name));
}

// The template prints nothing for a part that it does not know, and reads the text of any part in
// the leading system message: both are text parts here.
absl::StatusOr<Part> ReadPart(const JsonValue& part, bool in_leading_system) {
  ASSIGN_OR_RETURN(const std::string type,
                   part.Has("type") ? part.String("type") : std::string("text"));
  if (!in_leading_system) {
    if (type == "image" || type == "image_url") return Part(MediaPart{MediaKind::kImage});
    if (type == "audio" || type == "input_audio") return Part(MediaPart{MediaKind::kAudio});
    if (type == "video") return Part(MediaPart{MediaKind::kVideo});
    if (type != "text") return Part(TextPart{});
  }
  if (!part.Has("text")) return Part(TextPart{});
  ASSIGN_OR_RETURN(std::string text, part.String("text"));
  return Part(TextPart{std::move(text)});
}

absl::StatusOr<Message> ReadMessage(const JsonValue& value, bool is_first) {
  Message message;
  ASSIGN_OR_RETURN(message.role, ReadRole(value));
  if (!value.Has("content")) return message;
  ASSIGN_OR_RETURN(const JsonValue content, value.Member("content"));
  if (content.IsString()) {
    message.parts.push_back(TextPart{std::string(*content.AsString())});
    return message;
  }
  if (!content.IsArray()) return message;  // the template prints nothing for other types
  message.is_list = true;
  const bool is_system = message.role == Role::kSystem || message.role == Role::kDeveloper;
  ASSIGN_OR_RETURN(const std::vector<JsonValue> parts, content.AsArray());
  for (const JsonValue& part : parts) {
    ASSIGN_OR_RETURN(Part read, ReadPart(part, is_first && is_system));
    message.parts.push_back(std::move(read));
  }
  return message;
}

// The prompt's ids with each media part as its soft token alone, as the cases have it. Videos get
// no timestamps there, so they are not encoded by EncodePrompt.
absl::StatusOr<std::vector<TokenId>> PlaceholderIds(const RenderedPrompt& prompt,
                                                    const Tokenizer& tokenizer) {
  const SpecialTokens& special = tokenizer.vocabulary().special();
  std::vector<TokenId> ids;
  for (const RenderedPrompt::Segment& segment : prompt.segments) {
    if (const auto* control = std::get_if<RenderedPrompt::Control>(&segment)) {
      ids.push_back(control->id);
    } else if (const auto* media = std::get_if<RenderedPrompt::Media>(&segment)) {
      const MediaKind kind = prompt.media[static_cast<size_t>(media->index)].kind;
      ids.push_back(kind == MediaKind::kImage   ? special.image_soft
                    : kind == MediaKind::kAudio ? special.audio_soft
                                                : special.video_soft);
    } else {
      RETURN_IF_ERROR(tokenizer.AppendText(std::get<std::string>(segment), ids));
    }
  }
  return ids;
}

// EncodePrompt's ids with the begin, end and repeated soft tokens of each span taken out again.
absl::StatusOr<std::vector<TokenId>> CollapsedIds(const RenderedPrompt& prompt,
                                                  const Tokenizer& tokenizer) {
  std::vector<MediaExtent> extents(prompt.media.size());
  for (size_t i = 0; i < extents.size(); ++i) extents[i].tokens = static_cast<int>(i) + 2;
  ASSIGN_OR_RETURN(const EncodedPrompt encoded, EncodePrompt(prompt, extents, tokenizer));
  std::vector<TokenId> ids;
  size_t copied = 0;
  for (const MediaSpan& span : encoded.spans) {
    const auto first = static_cast<size_t>(span.first);
    ids.insert(ids.end(), encoded.ids.begin() + static_cast<std::ptrdiff_t>(copied),
               encoded.ids.begin() + span.first - 1);
    ids.push_back(encoded.ids.at(first));
    copied = first + static_cast<size_t>(span.tokens) + 1;
  }
  ids.insert(ids.end(), encoded.ids.begin() + static_cast<std::ptrdiff_t>(copied),
             encoded.ids.end());
  return ids;
}

bool HasVideo(const RenderedPrompt& prompt) {
  for (const MediaPlace& place : prompt.media) {
    if (place.kind == MediaKind::kVideo) return true;
  }
  return false;
}

absl::StatusOr<LineResult> CheckTemplateLine(const Tokenizer& tokenizer, const JsonValue& line) {
  const LineResult left_out{Verdict::kLeftOut, ""};
  if (!IsUnused(line, "tools") || line.Has("error")) return left_out;
  ASSIGN_OR_RETURN(const JsonValue list, line.Member("messages"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> values, list.AsArray());
  std::vector<Message> messages;
  for (const JsonValue& value : values) {
    if (!IsPlainMessage(value)) return left_out;
    ASSIGN_OR_RETURN(Message message, ReadMessage(value, messages.empty()));
    messages.push_back(std::move(message));
  }
  TemplateOptions options;
  ASSIGN_OR_RETURN(options.thinking, line.Bool("enable_thinking"));
  ASSIGN_OR_RETURN(options.generation_prompt, line.Bool("add_generation_prompt"));
  ASSIGN_OR_RETURN(const std::string expected_text, line.String("prompt"));
  ASSIGN_OR_RETURN(const std::vector<TokenId> expected_ids, ReadIds(line, "ids"));

  ASSIGN_OR_RETURN(const RenderedPrompt prompt,
                   RenderChat(messages, options, tokenizer.vocabulary()));
  const std::string text = SpellOut(prompt, tokenizer.vocabulary());
  if (text != expected_text) {
    return LineResult{Verdict::kDiffers,
                      absl::StrCat("prompt \"", text, "\", expected \"", expected_text, "\"")};
  }
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, PlaceholderIds(prompt, tokenizer));
  LineResult result = Compare(ids, expected_ids);
  if (result.verdict != Verdict::kSame || HasVideo(prompt)) return result;
  ASSIGN_OR_RETURN(const std::vector<TokenId> collapsed, CollapsedIds(prompt, tokenizer));
  return Compare(collapsed, expected_ids);
}

}  // namespace

int CheckTokenizer(const std::string& cases_dir, const std::string& tokenizer_file,
                   Report& report) {
  const auto tokenizer = LoadTokenizer(tokenizer_file);
  if (!tokenizer.ok()) return ReportFailure("tokenizer", tokenizer.status(), report);
  return CheckLines(
      cases_dir + "/tokenizer.jsonl", "tokenizer",
      [&](const JsonValue& line) { return CheckTokenizerLine(**tokenizer, line); }, report);
}

int CheckTemplate(const std::string& cases_dir, const std::string& tokenizer_file, Report& report) {
  const std::string cases = cases_dir + "/chat.jsonl";
  if (!std::filesystem::exists(cases)) {
    report.Note(absl::StrCat("no templates compared: there is no ", cases));
    return 0;
  }
  const auto tokenizer = LoadTokenizer(tokenizer_file);
  if (!tokenizer.ok()) return ReportFailure("template", tokenizer.status(), report);
  return CheckLines(
      cases, "template",
      [&](const JsonValue& line) { return CheckTemplateLine(**tokenizer, line); }, report);
}

int CheckDetokenizer(const std::string& cases_dir, const std::string& tokenizer_file,
                     Report& report) {
  const auto tokenizer = LoadTokenizer(tokenizer_file);
  if (!tokenizer.ok()) return ReportFailure("detokenizer", tokenizer.status(), report);
  return CheckLines(
      cases_dir + "/detokenizer.jsonl", "detokenizer",
      [&](const JsonValue& line) { return CheckDetokenizerLine((*tokenizer)->vocabulary(), line); },
      report);
}

}  // namespace cleave::golden
