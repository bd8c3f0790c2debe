#include "runtime/base/address.h"

#include <gtest/gtest.h>

namespace cleave {
namespace {

TEST(AddressTest, IsHostAndPort) {
  for (const char* good : {"127.0.0.1:7411", "host.example:0", "[::1]:65535", "localhost:80"}) {
    EXPECT_EQ(AddressProblem(good), "");
  }
  for (const char* bad :
       {"", "nonsense", ":80", "host:", "host:x", "host:65536", "host:-1", "::1:80", "[::1",
        "http://host:80", "host: 80", "host:80 ", "host:+80", "[x]:80", "a b:80"}) {
    EXPECT_NE(AddressProblem(bad), "") << bad;
  }
  EXPECT_EQ(AddressProblem("x"), "\"x\" is not host:port, as 127.0.0.1:7411");
}

}  // namespace
}  // namespace cleave
