#include "runtime/base/address.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cleave {

absl::Status CheckAddress(absl::string_view address, absl::string_view what) {
  const size_t colon = address.rfind(':');
  const absl::string_view host = address.substr(0, colon);
  const bool in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  int port = -1;
  if (colon != absl::string_view::npos && !host.empty() &&
      (in_brackets || host.find_first_of(": /[]") == absl::string_view::npos) &&
      absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 0 && port <= 65535) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " \"", address, "\" is not host:port, as 127.0.0.1:7411"));
}

}  // namespace cleave
