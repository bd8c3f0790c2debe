// The ways in which the chat format cleans text. Internal to tokenizer/.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace cleave {

// `text` (well-formed UTF-8) without Unicode white space at both ends. U+200B and U+FEFF stay.
absl::string_view TrimWhitespace(absl::string_view text);

// What the model said, without the thoughts that a client sent back inside it: of every piece
// between two `channel_end` spellings, what precedes the first `channel_begin` spelling; trimmed.
std::string StripThoughts(absl::string_view text, absl::string_view channel_begin,
                          absl::string_view channel_end);

// Trims a text that comes in pieces: white space in front is dropped, what may turn out to stand at
// the end is held back. Pieces are well-formed UTF-8 each. Not thread-safe.
class StreamTrimmer {
 public:
  // Appends to `out` what is certain. What is still held when the text ends was its end.
  void Push(absl::string_view piece, std::string& out);

 private:
  bool started_ = false;
  std::string held_;  // white space only
};

}  // namespace cleave
