// The MTP drafter against the reference implementation's.
#pragma once

#include "tests/golden/model_check.h"
#include "tests/golden/report.h"

namespace cleave::golden {

// Compares every case of drafter/index.json: four draft steps stage by stage, and a whole
// speculative decoding, round by round.
void CheckDrafter(const ModelCheckOptions& options, Report& report);

}  // namespace cleave::golden
