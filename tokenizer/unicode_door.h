// The one door to ICU: what Unicode says of letters, by the root locale. Internal to tokenizer/.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace cleave {

// The full mappings of well-formed UTF-8: "Straße" to "STRASSE", a capital sigma that ends a word
// to its final form.
std::string UpperCase(absl::string_view text);
std::string LowerCase(absl::string_view text);

// Python's str.isprintable of one code point: no control, format, private, unassigned or separator
// character; the space is printable.
bool IsPrintable(char32_t code_point);

}  // namespace cleave
