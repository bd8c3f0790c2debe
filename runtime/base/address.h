// host:port, as flags give it.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cleave {

// INVALID_ARGUMENT unless `address` is a host, a colon and a port of 0 to 65535. An IPv6 host
// stands in brackets. Whether the host exists is not asked.
absl::Status CheckAddress(absl::string_view address);

}  // namespace cleave
