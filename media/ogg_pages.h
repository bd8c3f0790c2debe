// The pages of an Ogg file (RFC 3533). Owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace cleave {

struct OggPage {
  bool continues;      // its first packet began on the page before
  bool begins_stream;  // the first page of its stream
  int64_t position;    // of the stream at the page's end, in units of the codec; -1: no packet ends
  uint32_t stream;
  uint32_t number;            // 0, 1, 2, ... in its stream
  absl::string_view lengths;  // of segments, a byte each; a packet ends with one below 255
  absl::string_view body;
  size_t bytes;  // of the whole page
};

// The page at `at`; absent when there is none, or not all of it.
std::optional<OggPage> ReadOggPage(absl::string_view file, size_t at);

}  // namespace cleave
