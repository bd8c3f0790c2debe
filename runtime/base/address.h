// host:port, as flags give it.
#pragma once

#include <string>

namespace cleave {

// What is wrong with `address`, for CLI11's check(); empty when it is a host, a colon and a port of
// 0 to 65535. An IPv6 host stands in brackets. Whether the host exists is not asked.
std::string AddressProblem(const std::string& address);

}  // namespace cleave
