// Which request of which gateway: gateways number their requests each for itself.
#pragma once

#include <compare>
#include <cstdint>

namespace cleave {

// One attachment of a gateway to this worker. Numbered by the worker, never reused.
enum class SessionId : uint64_t {};

struct RequestKey {
  SessionId session{};
  uint64_t request = 0;  // the gateway's number, unique in its session
  friend auto operator<=>(const RequestKey&, const RequestKey&) = default;
};

}  // namespace cleave
