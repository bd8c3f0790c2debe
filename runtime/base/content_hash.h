// The name of a file's bytes between processes.
#pragma once

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace cleave {

// XXH3-128 in its canonical form: big-endian.
using ContentHash = std::array<uint8_t, 16>;

ContentHash HashContent(absl::string_view bytes);

}  // namespace cleave
