// From token ids to what a client sees: thoughts, text, tool calls.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tokenizer/chat_text.h"
#include "tokenizer/output_parser.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

// What some ids of an answer make visible. Strings are well-formed UTF-8.
struct ReplyDelta {
  std::string thought;
  std::string text;
  std::vector<ParsedToolCall> tool_calls;
  int thought_tokens = 0;  // of the ids, those of thoughts and of what opens and closes them
};

// The answer, delta by delta. Its text has no white space at its ends and ends before the first
// stop string (the one that is complete first), so as much of it as may still become either is held
// back. Stop strings are looked for in the text alone; after one nothing more appears, of no kind.
// The sum of the deltas does not depend on how the ids were cut into steps. Not thread-safe.
class ReplyAssembler {
 public:
  // `starts_in_thought`: the prompt ended inside a thought. `vocabulary` must outlive this.
  ReplyAssembler(const Vocabulary& vocabulary, std::vector<std::string> stop_strings,
                 bool starts_in_thought);

  // Appends to `delta` what `ids` make visible. INVALID_ARGUMENT for an id that the vocabulary does
  // not have.
  absl::Status Push(absl::Span<const TokenId> ids, ReplyDelta& delta);
  // The ids are over: appends what was held back.
  void Finish(ReplyDelta& delta);

  // The index of the stop string that ended the text; absent while none did.
  const std::optional<size_t>& stopped_by() const { return stopped_by_; }
  int tool_calls() const { return tool_calls_; }
  // A call was begun that is none: cut, or not readable.
  bool has_malformed_call() const { return has_malformed_call_; }

 private:
  absl::Status PushId(TokenId id, ReplyDelta& delta);
  // Adds what the parser released; the text up to a stop string.
  void Add(OutputDelta parsed, ReplyDelta& delta);
  void CutAtStop();
  // Hands over pending text but for its last `held` bytes.
  void Release(size_t held, ReplyDelta& delta);
  size_t HeldForStop() const;

  const Vocabulary& vocabulary_;
  const std::vector<std::string> stop_strings_;
  OutputParser parser_;
  StreamTrimmer trimmer_;
  std::string pending_;  // of the text, may become a stop string
  std::optional<size_t> stopped_by_;
  int tool_calls_ = 0;
  bool has_malformed_call_ = false;
};

}  // namespace cleave
