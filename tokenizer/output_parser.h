// What the model wrote, taken apart: thoughts, answer text, tool calls.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tokenizer/stream_detokenizer.h"
#include "tokenizer/tool_call_text.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

// What some ids of an answer release. All strings are well-formed UTF-8.
struct OutputDelta {
  std::string thought;  // several thoughts have an empty line between them
  std::string content;  // white space at both ends included: StreamTrimmer takes it away
  std::vector<ParsedToolCall> tool_calls;
  std::vector<std::string> malformed;  // text of calls that were cut or could not be read
};

// The parser works on ids, so a control token that is spelled in text is text. Between the tokens
// that open and close it stands a thought, without its header line and its last newline; a thought
// without text is none. A call is released when it is complete, as a whole or as malformed, and
// ends an open thought. Control tokens without a meaning where they stand are dropped; inside a
// call they are text. The sum of the deltas does not depend on how the ids were cut. What a call
// holds is bounded by its own tokens. Not thread-safe.
class OutputParser {
 public:
  // `start_in_thought`: the prompt ended inside a thought (RenderedPrompt::ends_in_thought).
  // `vocabulary` must outlive the parser.
  OutputParser(const Vocabulary& vocabulary, bool start_in_thought);

  // Appends to `delta` what `id` releases. Ids that end an answer are the caller's matter: as
  // control tokens they are dropped. INVALID_ARGUMENT, changing nothing, for an id outside the
  // vocabulary.
  absl::Status Push(TokenId id, OutputDelta& delta);
  // The ids are over: whatever is open ends here. Nothing may be pushed after that.
  void Finish(OutputDelta& delta);

  // Where the next id belongs.
  bool in_thought() const { return state_ == State::kThought; }

 private:
  enum class State { kContent, kThought, kCall };

  void Control(TokenId id, OutputDelta& delta);
  void AddText(absl::string_view text, OutputDelta& delta);
  void AddThought(absl::string_view text, std::string& out);
  void OpenThought();
  // Ends what is open; afterwards the text is content.
  void Close(OutputDelta& delta);
  void CloseThought();
  void CloseCall(OutputDelta& delta);

  const Vocabulary& vocabulary_;
  StreamDetokenizer detokenizer_;
  State state_;
  bool in_header_ = false;      // all of the thought so far is a beginning of the header
  size_t header_length_ = 0;    // of that beginning
  bool holds_newline_ = false;  // the thought's last character, released when another follows
  bool thought_has_text_ = false;
  bool has_thoughts_ = false;  // a thought with text is over
  std::string call_;           // text of the open call, kCallQuote for the quote token
};

enum class OutputEnd {
  kLength,     // there was no stop id
  kStop,       // a stop id, and no call
  kToolCalls,  // a stop id, and at least one call
};

struct ParsedOutput {
  std::string thought;
  std::string content;  // trimmed
  std::vector<ParsedToolCall> tool_calls;
  std::vector<std::string> malformed;
  OutputEnd end = OutputEnd::kLength;
};

// A whole answer: the fold of an OutputParser over the ids before the first of `stop_ids`.
absl::StatusOr<ParsedOutput> ParseOutput(const Vocabulary& vocabulary,
                                         absl::Span<const TokenId> ids,
                                         absl::Span<const TokenId> stop_ids, bool start_in_thought);

}  // namespace cleave
