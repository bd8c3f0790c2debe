// From token ids to the text that a client sees.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tokenizer/stream_detokenizer.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

// The answer's text, delta by delta. Control tokens print nothing; what stands between the tokens
// that open and close a thought is not shown. The text ends before the first stop string (the one
// that is complete first), so as much of it as may still become one is held back. The sum of the
// deltas does not depend on how the ids were cut into steps, and each delta is well-formed UTF-8.
// Not thread-safe.
class ReplyAssembler {
 public:
  // `vocabulary` must outlive this.
  ReplyAssembler(const Vocabulary& vocabulary, std::vector<std::string> stop_strings);

  // Appends to `text` what `ids` make visible. INVALID_ARGUMENT for an id that the vocabulary does
  // not have. After a stop string nothing more appears.
  absl::Status Push(absl::Span<const TokenId> ids, std::string& text);
  // The ids are over: appends what was held back.
  void Finish(std::string& text);

  // The index of the stop string that ended the text; absent while none did.
  const std::optional<size_t>& stopped_by() const { return stopped_by_; }

 private:
  absl::Status PushId(TokenId id);
  void CutAtStop();
  void Release(std::string& text);

  const Vocabulary& vocabulary_;
  const std::vector<std::string> stop_strings_;
  StreamDetokenizer detokenizer_;
  bool in_thought_ = false;
  std::string pending_;  // visible, not released yet
  std::optional<size_t> stopped_by_;
};

}  // namespace cleave
