// The syntax in which the model writes a tool call. Internal to tokenizer/.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace cleave {

// A call as its caller should see it.
struct ParsedToolCall {
  std::string name;       // letters, digits, '_', '.', '-'; at least one
  std::string arguments;  // a JSON object: compact, keys in the model's order, numbers as spelled

  friend bool operator==(const ParsedToolCall&, const ParsedToolCall&) = default;
};

// Stands for the quote token in a call's text. UTF-8 has no such byte.
inline constexpr char kCallQuote = '\xFF';

// Reads what stands between the tokens that open and close a call: "call:NAME{key:value,...}".
// White space around punctuation and one trailing comma are accepted; a bare word that is not true,
// false, null or a number is a string. Absent when it is no call, or values nest deeper than 32
// levels. `text` is UTF-8 apart from kCallQuote.
std::optional<ParsedToolCall> ParseToolCall(absl::string_view text);

}  // namespace cleave
