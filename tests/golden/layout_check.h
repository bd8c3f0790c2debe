// Compares what the gateway makes of media in a prompt with the reference's processor.
#pragma once

#include <string>

#include "runtime/base/json.h"
#include "tests/golden/report.h"

namespace cleave::golden {

// `cases_dir`/layout.json: texts with placeholders and the sizes of their media, to ids and to the
// kind of each. Placeholders are media parts, other spelled control tokens are control tokens.
// `tokenizer_file` as for CheckTokenizer.
void CheckLayout(const std::string& cases_dir, const std::string& tokenizer_file, Report& report);

// The videos of media.json: frames and rate to the frames that are seen and their times.
absl::Status CheckVideos(const JsonValue& videos, Report& report);

}  // namespace cleave::golden
