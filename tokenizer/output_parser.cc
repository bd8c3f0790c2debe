#include "tokenizer/output_parser.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "runtime/base/status.h"
#include "tokenizer/chat_text.h"

namespace cleave {
namespace {

constexpr absl::string_view kThoughtHeader = "thought\n";

}  // namespace

OutputParser::OutputParser(const Vocabulary& vocabulary, bool start_in_thought)
    : vocabulary_(vocabulary),
      detokenizer_(vocabulary, /*skip_special=*/true),
      state_(start_in_thought ? State::kThought : State::kContent) {}

absl::Status OutputParser::Push(TokenId id, OutputDelta& delta) {
  std::string text;
  RETURN_IF_ERROR(detokenizer_.Push(id, text));
  AddText(text, delta);
  if (vocabulary_.IsControl(id)) Control(id, delta);
  return absl::OkStatus();
}

void OutputParser::Finish(OutputDelta& delta) {
  std::string text;
  detokenizer_.Finish(text);
  AddText(text, delta);
  Close(delta);
}

void OutputParser::Control(TokenId id, OutputDelta& delta) {
  const SpecialTokens& special = vocabulary_.special();
  if (id == special.tool_call_begin) {
    Close(delta);
    state_ = State::kCall;
  } else if (state_ == State::kCall) {
    if (id == special.tool_call_end) return Close(delta);
    if (id == special.quote) {
      call_.push_back(kCallQuote);
    } else {
      absl::StrAppend(&call_, vocabulary_.bytes(id));
    }
  } else if (id == special.channel_begin) {
    Close(delta);
    OpenThought();
  } else if (id == special.channel_end) {
    Close(delta);
  }
}

void OutputParser::AddText(absl::string_view text, OutputDelta& delta) {
  if (text.empty()) return;
  if (state_ == State::kCall) {
    absl::StrAppend(&call_, text);
  } else if (state_ == State::kThought) {
    AddThought(text, delta.thought);
  } else {
    absl::StrAppend(&delta.content, text);
  }
}

void OutputParser::OpenThought() {
  state_ = State::kThought;
  in_header_ = true;
  header_length_ = 0;
}

void OutputParser::AddThought(absl::string_view text, std::string& out) {
  if (in_header_) {
    const absl::string_view expected = kThoughtHeader.substr(header_length_);
    const size_t length = std::min(expected.size(), text.size());
    if (text.substr(0, length) == expected.substr(0, length)) {
      header_length_ += length;
      text.remove_prefix(length);
      in_header_ = header_length_ < kThoughtHeader.size();
    } else {
      in_header_ = false;  // so it was no header
      AddThought(kThoughtHeader.substr(0, header_length_), out);
    }
  }
  if (text.empty()) return;
  const bool ends_in_newline = text.back() == '\n';
  if (ends_in_newline) text.remove_suffix(1);
  if (text.empty() && !holds_newline_) {
    holds_newline_ = ends_in_newline;
    return;
  }
  if (!thought_has_text_ && has_thoughts_) absl::StrAppend(&out, "\n\n");
  thought_has_text_ = true;
  absl::StrAppend(&out, holds_newline_ ? "\n" : "", text);
  holds_newline_ = ends_in_newline;
}

void OutputParser::CloseThought() {
  has_thoughts_ = has_thoughts_ || thought_has_text_;
  thought_has_text_ = holds_newline_ = in_header_ = false;
}

void OutputParser::CloseCall(OutputDelta& delta) {
  const std::string text = std::exchange(call_, "");
  if (std::optional<ParsedToolCall> call = ParseToolCall(text)) {
    delta.tool_calls.push_back(*std::move(call));
    return;
  }
  const absl::string_view quote = vocabulary_.bytes(vocabulary_.special().quote);
  delta.malformed.push_back(absl::StrReplaceAll(text, {{std::string(1, kCallQuote), quote}}));
}

void OutputParser::Close(OutputDelta& delta) {
  if (state_ == State::kThought) CloseThought();
  if (state_ == State::kCall) CloseCall(delta);
  state_ = State::kContent;
}

absl::StatusOr<ParsedOutput> ParseOutput(const Vocabulary& vocabulary,
                                         absl::Span<const TokenId> ids,
                                         absl::Span<const TokenId> stop_ids,
                                         bool start_in_thought) {
  const auto stop = std::find_first_of(ids.begin(), ids.end(), stop_ids.begin(), stop_ids.end());
  OutputParser parser(vocabulary, start_in_thought);
  OutputDelta all;
  for (auto id = ids.begin(); id != stop; ++id) RETURN_IF_ERROR(parser.Push(*id, all));
  parser.Finish(all);
  ParsedOutput output;
  output.thought = std::move(all.thought);
  output.content = std::string(TrimWhitespace(all.content));
  output.tool_calls = std::move(all.tool_calls);
  output.malformed = std::move(all.malformed);
  if (stop != ids.end()) {
    output.end = output.tool_calls.empty() ? OutputEnd::kStop : OutputEnd::kToolCalls;
  }
  return output;
}

}  // namespace cleave
