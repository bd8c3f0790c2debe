// UTF-8 as the Unicode standard's table 3-7 has it: no overlong forms, no surrogates, nothing above
// U+10FFFF.
#pragma once

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"

namespace cleave {

enum class Utf8State {
  kComplete,  // the bytes start with a well-formed sequence
  kPartial,   // all the bytes are a beginning of one: more may complete it
  kBroken,    // the first byte cannot belong to a well-formed sequence here
};

struct Utf8Prefix {
  Utf8State state;
  size_t length;        // of the sequence when complete, else 0
  char32_t code_point;  // when complete, else 0
};

// Looks at the sequence that `bytes` (not empty) starts with.
Utf8Prefix ReadUtf8(absl::string_view bytes);

// Offset of the first byte that makes `text` ill-formed (a sequence cut off by the end counts);
// absent when it is well-formed.
std::optional<size_t> FindInvalidUtf8(absl::string_view text);

// The length of `text` (well-formed) without an incomplete tail when only its first `limit` bytes
// are taken: the largest code point boundary not above `limit`.
size_t CodePointBoundaryAtMost(absl::string_view text, size_t limit);

}  // namespace cleave
