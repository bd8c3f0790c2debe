#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/status.h"
#include "tests/golden/text_cases.h"
#include "tests/golden/text_check.h"
#include "tokenizer/chat_text.h"
#include "tokenizer/output_parser.h"

namespace cleave::golden {
namespace {

// What a line expects, or what was found, as one text to compare and to show.
std::string Show(const std::string& thought, const std::string& content,
                 const std::vector<ParsedToolCall>& calls,
                 const std::vector<std::string>& malformed) {
  const auto show_call = [](std::string* out, const ParsedToolCall& call) {
    absl::StrAppend(out, call.name, call.arguments);
  };
  return absl::StrCat("thought [", thought, "], content [", content, "], calls [",
                      absl::StrJoin(calls, "] [", show_call), "], malformed [",
                      absl::StrJoin(malformed, "] ["), "]");
}

absl::StatusOr<std::string> ShowExpected(const JsonValue& line) {
  ASSIGN_OR_RETURN(const std::string thought, line.String("reasoning"));
  ASSIGN_OR_RETURN(const std::string content, line.String("content"));
  ASSIGN_OR_RETURN(const JsonValue call_list, line.Member("tool_calls"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> calls, call_list.AsArray());
  ASSIGN_OR_RETURN(const JsonValue malformed_list, line.Member("malformed"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> malformed, malformed_list.AsArray());
  std::vector<ParsedToolCall> parsed;
  for (const JsonValue& call : calls) {
    ASSIGN_OR_RETURN(std::string name, call.String("name"));
    ASSIGN_OR_RETURN(std::string arguments, call.String("arguments"));
    parsed.push_back({std::move(name), std::move(arguments)});
  }
  std::vector<std::string> texts;
  for (const JsonValue& text : malformed) {
    ASSIGN_OR_RETURN(const absl::string_view shown, text.AsString());
    texts.emplace_back(shown);
  }
  return Show(thought, content, parsed, texts);
}

absl::string_view EndName(OutputEnd end) {
  if (end == OutputEnd::kToolCalls) return "tool_calls";
  return end == OutputEnd::kStop ? "stop" : "length";
}

// The deltas of one id at a time put together, trimmed as they come.
absl::StatusOr<std::string> ShowStreamed(const Vocabulary& vocabulary,
                                         absl::Span<const TokenId> ids, bool start_in_thought) {
  OutputParser parser(vocabulary, start_in_thought);
  StreamTrimmer trimmer;
  std::string thought, content;
  std::vector<ParsedToolCall> calls;
  std::vector<std::string> malformed;
  for (size_t i = 0; i <= ids.size(); ++i) {
    OutputDelta delta;
    if (i < ids.size()) {
      RETURN_IF_ERROR(parser.Push(ids[i], delta));
    } else {
      parser.Finish(delta);
    }
    thought += delta.thought;
    trimmer.Push(delta.content, content);
    for (ParsedToolCall& call : delta.tool_calls) calls.push_back(std::move(call));
    for (std::string& text : delta.malformed) malformed.push_back(std::move(text));
  }
  return Show(thought, content, calls, malformed);
}

absl::StatusOr<LineResult> CheckParserLine(const Vocabulary& vocabulary, const JsonValue& line) {
  const SpecialTokens& special = vocabulary.special();
  const std::vector<TokenId> stop_ids = {special.turn_end, special.tool_response_begin,
                                         special.eos.value_or(special.turn_end)};
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, ReadIds(line, "ids"));
  ASSIGN_OR_RETURN(const bool start_in_thought, line.Bool("start_in_thought"));
  ASSIGN_OR_RETURN(const std::string end, line.String("finish_reason"));
  ASSIGN_OR_RETURN(const std::string expected, ShowExpected(line));
  ASSIGN_OR_RETURN(const ParsedOutput output,
                   ParseOutput(vocabulary, ids, stop_ids, start_in_thought));
  const std::string found =
      Show(output.thought, output.content, output.tool_calls, output.malformed);
  if (found != expected || EndName(output.end) != end) {
    return LineResult{Verdict::kDiffers, absl::StrCat("found ", found, " ", EndName(output.end),
                                                      ", expected ", expected, " ", end)};
  }
  const auto stop = std::find_first_of(ids.begin(), ids.end(), stop_ids.begin(), stop_ids.end());
  const absl::Span<const TokenId> answer(ids.data(), static_cast<size_t>(stop - ids.begin()));
  ASSIGN_OR_RETURN(const std::string streamed, ShowStreamed(vocabulary, answer, start_in_thought));
  return LineResult{streamed == expected ? Verdict::kSame : Verdict::kDiffers,
                    absl::StrCat("streamed ", streamed, ", expected ", expected)};
}

}  // namespace

int CheckParser(const std::string& cases_dir, const std::string& tokenizer_file, Report& report) {
  const auto tokenizer = LoadTokenizer(tokenizer_file);
  if (!tokenizer.ok()) return ReportFailure("parser", tokenizer.status(), report);
  return CheckLines(
      cases_dir + "/parser.jsonl", "parser",
      [&](const JsonValue& line, const std::string&) {
        return CheckParserLine((*tokenizer)->vocabulary(), line);
      },
      report);
}

}  // namespace cleave::golden
