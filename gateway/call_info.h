// What a call says beside its message.
#pragma once

#include <grpcpp/server_context.h>

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cleave {

struct CallInfo {
  std::string request_id;                   // the client's, if it is valid, or one drawn here
  std::optional<absl::Duration> time_left;  // until the client's deadline; absent: it set none
};

// Reads the metadata, and echoes the request id in the trailers.
CallInfo ReadCallInfo(grpc::ServerContextBase& context);

// "prefix" and 16 random hexadecimal digits.
std::string DrawId(absl::string_view prefix);

}  // namespace cleave
