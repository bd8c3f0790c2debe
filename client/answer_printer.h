// How `cleave ask` shows an answer while it comes.
#pragma once

#include "client/chat_client.h"

namespace cleave {

// Text goes to stdout, thoughts to stderr (dim on a terminal), each with a line break at its end.
// One thread.
class AnswerPrinter {
 public:
  // `json`: every event as a line of JSON on stdout, and nothing else.
  explicit AnswerPrinter(bool json) : json_(json) {}

  void Print(const v1::GenerateEvent& event);
  // The answer is over, well or not: ends open lines.
  void End();
  // Each call as a line of JSON: id, name, arguments.
  void PrintCalls(const AskResult& result) const;

 private:
  void PrintJson(const v1::GenerateEvent& event) const;
  void PrintThought(const std::string& text);
  void EndThought();

  const bool json_;
  bool in_thought_ = false;  // on stderr, its line is open
  bool has_text_ = false;    // on stdout, its line is open
};

}  // namespace cleave
