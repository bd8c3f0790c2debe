// The id by which a request is found in the logs.
#pragma once

#include <algorithm>

#include "absl/strings/string_view.h"

namespace cleave {

// The metadata key, to the gateway and back in its trailers.
inline constexpr char kRequestIdKey[] = "x-request-id";
inline constexpr size_t kRequestIdBytesMax = 64;

// 1 to 64 printable ASCII characters. Such an id is logged and echoed, never interpreted. gRPC
// aborts the process that would send some others.
inline bool IsValidRequestId(absl::string_view id) {
  return !id.empty() && id.size() <= kRequestIdBytesMax &&
         std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace cleave
