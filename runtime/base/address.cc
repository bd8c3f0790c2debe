#include "runtime/base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cleave {
namespace {

bool IsPort(absl::string_view text) {
  int port = 0;
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit) && text.size() <= 5 &&
         absl::SimpleAtoi(text, &port) && port <= 65535;
}

bool IsHost(absl::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    in6_addr address;
    return ::inet_pton(AF_INET6, std::string(text.substr(1, text.size() - 2)).c_str(), &address) ==
           1;
  }
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
}

}  // namespace

std::string AddressProblem(const std::string& address) {
  const absl::string_view text = address;
  const size_t colon = text.rfind(':');
  if (colon != absl::string_view::npos && IsHost(text.substr(0, colon)) &&
      IsPort(text.substr(colon + 1))) {
    return "";
  }
  return absl::StrCat("\"", text, "\" is not host:port, as 127.0.0.1:7411");
}

}  // namespace cleave
