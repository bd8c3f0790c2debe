// Who goes first where there is not enough for all. Tokens do not depend on it.
#pragma once

#include <cstdint>

namespace cleave {

enum class Priority : uint8_t { kLow, kNormal, kHigh };

}  // namespace cleave
