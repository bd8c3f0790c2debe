// Checks on the values of a request, and on what they add up to.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/served_model.h"
#include "runtime/base/json_tree.h"

namespace cleave {

// INVALID_ARGUMENT (FIELD_INVALID): `field` is `actual`, but `limit` is allowed.
absl::Status Invalid(absl::string_view field, absl::string_view limit, absl::string_view actual);
// The same when `actual` is above `max`; `unit` follows the numbers (" bytes").
absl::Status AtMost(absl::string_view field, int64_t actual, int64_t max, absl::string_view unit);

// Reads the texts of one request, counting what is limited for the request as a whole. Not
// thread-safe.
class FieldReader {
 public:
  // `limits` must outlive the reader.
  explicit FieldReader(const RequestLimits& limits) : limits_(limits) {}

  // UTF-8, within text_bytes_max with all texts before it.
  absl::Status CheckText(absl::string_view field, absl::string_view text);
  // 1 to kToolNameBytesMax letters, digits, '_', '.', '-'.
  absl::Status CheckToolName(absl::string_view field, absl::string_view name) const;
  // 1 to call_id_bytes_max printable ASCII characters without spaces.
  absl::Status CheckCallId(absl::string_view field, absl::string_view id) const;
  // JSON of at most `bytes_max`, within json_bytes_max with all JSON before it and json_depth_max.
  absl::StatusOr<Json> ReadJson(absl::string_view field, absl::string_view text, int64_t bytes_max);

 private:
  const RequestLimits& limits_;
  int64_t text_bytes_ = 0;
  int64_t json_bytes_ = 0;
};

}  // namespace cleave
