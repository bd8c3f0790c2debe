// How `cleave ask` shows an answer while it comes.
#pragma once

#include "client/chat_client.h"

namespace cleave {

// How the events of an answer are printed.
enum class AnswerStyle {
  kStream,  // as they come
  kWhole,   // several candidates, each under a heading when it is complete: they come mixed
  kJson,    // every event as a line of JSON on stdout, and nothing else
};

// Text goes to stdout, thoughts to stderr (dim on a terminal), each with a line break at its end.
// One thread.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(AnswerStyle style) : style_(style) {}

  void Print(const v1::GenerateEvent& event);
  // The answer is over, well or not: ends open lines.
  void End();
  // Each call of an answer that was streamed as a line of JSON: id, name, arguments.
  void PrintCalls(const AskResult& result) const;

 private:
  void PrintDelta(const std::string& thought, const std::string& text);
  void PrintWhole(uint32_t candidate, const AskAnswer& answer);
  void PrintJson(const v1::GenerateEvent& event) const;
  void PrintThought(const std::string& text);
  void EndThought();

  const AnswerStyle style_;
  AskResult folded_;         // what has come of answers that are printed whole
  bool in_thought_ = false;  // on stderr, its line is open
  bool has_text_ = false;    // on stdout, its line is open
};

}  // namespace cleave
