#include "runtime/base/build_info.h"

namespace cleave {

absl::string_view BuildVersion() { return CLEAVE_VERSION; }

}  // namespace cleave
