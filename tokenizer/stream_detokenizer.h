// Token ids to text, one id at a time.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

// The text of one stream of ids. Each id releases at once what is certain: the text of an ordinary
// piece, the spelling of a control token (or nothing), a character when the last of its byte pieces
// comes. Bytes that may still become a character are held back, at most three; a byte that cannot
// belong to one becomes U+FFFD. So what is released is always well-formed UTF-8, and the sum of it
// does not depend on where the stream was cut. Not thread-safe.
class StreamDetokenizer {
 public:
  // With `skip_special` control tokens print nothing. `vocabulary` must outlive the detokenizer.
  StreamDetokenizer(const Vocabulary& vocabulary, bool skip_special)
      : vocabulary_(&vocabulary), skip_special_(skip_special) {}

  // Appends to `text` what `id` releases. INVALID_ARGUMENT, changing nothing, for an id that the
  // vocabulary does not contain.
  absl::Status Push(TokenId id, std::string& text);

  // The stream is over: appends one U+FFFD for each byte still held. The object may be used again.
  void Finish(std::string& text);

 private:
  void PushByte(char byte, std::string& text);

  const Vocabulary* vocabulary_;
  bool skip_special_;
  std::string held_;  // a proper beginning of a well-formed sequence
};

// The text of a whole stream.
absl::StatusOr<std::string> Detokenize(const Vocabulary& vocabulary, absl::Span<const TokenId> ids,
                                       bool skip_special);

}  // namespace cleave
