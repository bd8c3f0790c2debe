// The least of an HTTP client, for reading /metrics.
#pragma once

#include <string>

namespace cleave::testing {

// Status line, headers and body; empty when nobody listens on this port of 127.0.0.1.
std::string HttpGet(int port, const std::string& path);

}  // namespace cleave::testing
