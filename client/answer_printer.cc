#include "client/answer_printer.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/json_tree.h"

namespace cleave {
namespace {

constexpr char kDim[] = "\x1b[2m";
constexpr char kPlain[] = "\x1b[0m";

void Write(const std::string& text, std::FILE* file) {
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

void WriteCalls(const std::vector<v1::ToolCall>& calls) {
  for (const v1::ToolCall& call : calls) {
    std::string line = "{\"id\":";
    AppendJsonString(call.id(), line);
    absl::StrAppend(&line, ",\"name\":");
    AppendJsonString(call.name(), line);
    absl::StrAppend(&line, ",\"arguments\":", call.arguments(), "}\n");
    Write(line, stdout);
  }
}

}  // namespace

void AnswerPrinter::Print(const v1::GenerateEvent& event) {
  switch (style_) {
    case AnswerStyle::kStream:
      return PrintDelta(event.thought().text(), event.text().text());
    case AnswerStyle::kWhole:
      Fold(event, folded_);
      if (event.has_finished()) PrintWhole(event.candidate(), AnswerOf(event.candidate(), folded_));
      return;
    case AnswerStyle::kJson:
      return PrintJson(event);
  }
}

void AnswerPrinter::PrintDelta(const std::string& thought, const std::string& text) {
  if (!thought.empty()) PrintThought(thought);
  if (text.empty()) return;
  EndThought();
  has_text_ = true;
  Write(text, stdout);
}

void AnswerPrinter::PrintWhole(uint32_t candidate, const AskAnswer& answer) {
  Write(absl::StrCat("--- candidate ", candidate, " ---\n"), stdout);
  PrintDelta(answer.thought, answer.text);
  End();
  WriteCalls(answer.tool_calls);
}

void AnswerPrinter::End() {
  EndThought();
  if (has_text_) Write("\n", stdout);
  has_text_ = false;
}

void AnswerPrinter::PrintCalls(const AskResult& result) const {
  if (style_ == AnswerStyle::kStream) WriteCalls(result.tool_calls);
}

void AnswerPrinter::PrintJson(const v1::GenerateEvent& event) const {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string line;
  if (!google::protobuf::util::MessageToJsonString(event, &line, options).ok()) return;
  Write(absl::StrCat(line, "\n"), stdout);
}

void AnswerPrinter::PrintThought(const std::string& text) {
  if (!in_thought_ && ::isatty(STDERR_FILENO) != 0) Write(kDim, stderr);
  in_thought_ = true;
  Write(text, stderr);
}

void AnswerPrinter::EndThought() {
  if (!in_thought_) return;
  in_thought_ = false;
  if (::isatty(STDERR_FILENO) != 0) Write(kPlain, stderr);
  Write("\n", stderr);
}

}  // namespace cleave
