// Which build this is.
#pragma once

#include "absl/strings/string_view.h"

namespace cleave {

// "0.1.0": the version in CMakeLists.txt.
absl::string_view BuildVersion();

}  // namespace cleave
