// Pictures and sounds against what the reference makes of the same files.
#pragma once

#include <string>

#include "tests/golden/report.h"

namespace cleave::golden {

// Opens one case for each picture and sound of `cases_dir`/media.json (layout: the README beside
// it). A picture of a kind that is not read yet is noted and is no case. Data that cannot be read
// at all is a failed case. The caller calls report.Finish.
void CheckMedia(const std::string& cases_dir, Report& report);

}  // namespace cleave::golden
