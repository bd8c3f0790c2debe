// The syntax in which the model writes a tool call, and what a tool may be called.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace cleave {

// Of a tool's name, in the API and in the model's calls.
inline constexpr int kToolNameBytesMax = 64;
// Letters, digits, '_', '.', '-'.
bool IsToolNameCharacter(char c);

// A call as its caller should see it.
struct ParsedToolCall {
  std::string name;       // 1 to kToolNameBytesMax of IsToolNameCharacter
  std::string arguments;  // a JSON object: compact, keys in the model's order, numbers as spelled

  friend bool operator==(const ParsedToolCall&, const ParsedToolCall&) = default;
};

// Stands for the quote token in a call's text. UTF-8 has no such byte.
inline constexpr char kCallQuote = '\xFF';

// Reads what stands between the tokens that open and close a call: "call:NAME{key:value,...}".
// White space around punctuation and one trailing comma are accepted; a bare word that is not true,
// false, null or a number is a string. Absent when it is no call, and for what the API would refuse
// when the call comes back: values nested deeper than 32 levels, a longer name, a number beyond a
// double. `text` is UTF-8 apart from kCallQuote.
std::optional<ParsedToolCall> ParseToolCall(absl::string_view text);

}  // namespace cleave
