#include "tests/golden/text_check.h"

#include "absl/strings/str_cat.h"
#include "runtime/base/status.h"
#include "tests/golden/text_cases.h"
#include "tests/support/conversation_json.h"
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

absl::StatusOr<RenderedPrompt> RenderLine(const Json& line, const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const Conversation conversation, ReadConversation(line));
  return RenderChat(conversation, ReadTemplateOptions(line), vocabulary);
}

absl::StatusOr<LineResult> CheckTemplateLine(const Tokenizer& tokenizer, const JsonValue& line,
                                             const std::string& line_text) {
  ASSIGN_OR_RETURN(const Json request, ParseJson(line_text, kJsonDepthMax));
  const absl::StatusOr<RenderedPrompt> prompt = RenderLine(request, tokenizer.vocabulary());
  if (line.Has("error")) {
    return LineResult{prompt.ok() ? Verdict::kDiffers : Verdict::kSame, "rendered, not refused"};
  }
  if (!prompt.ok()) return prompt.status();
  ASSIGN_OR_RETURN(const std::string expected_text, line.String("prompt"));
  ASSIGN_OR_RETURN(const std::vector<TokenId> expected_ids, ReadIds(line, "ids"));
  const std::string text = SpellOut(*prompt, tokenizer.vocabulary());
  if (text != expected_text) {
    return LineResult{Verdict::kDiffers,
                      absl::StrCat("prompt \"", text, "\", expected \"", expected_text, "\"")};
  }
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, PlaceholderIds(*prompt, tokenizer));
  LineResult result = Compare(ids, expected_ids);
  if (result.verdict != Verdict::kSame || HasVideo(*prompt)) return result;
  ASSIGN_OR_RETURN(const std::vector<TokenId> collapsed, CollapsedIds(*prompt, tokenizer));
  return Compare(collapsed, expected_ids);
}

}  // namespace

int CheckTokenizer(const std::string& cases_dir, const std::string& tokenizer_file,
                   Report& report) {
  const auto tokenizer = LoadTokenizer(tokenizer_file);
  if (!tokenizer.ok()) return ReportFailure("tokenizer", tokenizer.status(), report);
  return CheckLines(
      cases_dir + "/tokenizer.jsonl", "tokenizer",
      [&](const JsonValue& line, const std::string&) {
        return CheckTokenizerLine(**tokenizer, line);
      },
      report);
}

int CheckTemplate(const std::string& cases_dir, const std::string& tokenizer_file, Report& report) {
  const auto tokenizer = LoadTokenizer(tokenizer_file);
  if (!tokenizer.ok()) return ReportFailure("template", tokenizer.status(), report);
  return CheckLines(
      cases_dir + "/chat.jsonl", "template",
      [&](const JsonValue& line, const std::string& text) {
        return CheckTemplateLine(**tokenizer, line, text);
      },
      report);
}

int CheckDetokenizer(const std::string& cases_dir, const std::string& tokenizer_file,
                     Report& report) {
  const auto tokenizer = LoadTokenizer(tokenizer_file);
  if (!tokenizer.ok()) return ReportFailure("detokenizer", tokenizer.status(), report);
  return CheckLines(
      cases_dir + "/detokenizer.jsonl", "detokenizer",
      [&](const JsonValue& line, const std::string&) {
        return CheckDetokenizerLine((*tokenizer)->vocabulary(), line);
      },
      report);
}

}  // namespace cleave::golden
