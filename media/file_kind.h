// Telling kinds of files apart by their first bytes.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cleave {

// The bytes of a literal, zeros included.
template <size_t size>
constexpr absl::string_view Magic(const char (&text)[size]) {
  return absl::string_view(text, size - 1);
}

// A kind is recognised by the bytes `magic` at offset `at`.
struct FileKind {
  size_t at;
  absl::string_view magic;
  absl::string_view name;  // for error messages, as "WebP"
};

inline bool HasMagic(absl::string_view file, size_t at, absl::string_view magic) {
  return file.size() >= at + magic.size() && file.substr(at, magic.size()) == magic;
}

// The name of the first kind that fits; empty when none does.
inline absl::string_view RecognizeKind(absl::string_view file, absl::Span<const FileKind> kinds) {
  for (const FileKind& kind : kinds) {
    if (HasMagic(file, kind.at, kind.magic)) return kind.name;
  }
  return "";
}

}  // namespace cleave
