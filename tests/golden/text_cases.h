// What the text checks share: the tokenizer, the lines of a file of cases, a count for each kind.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/base/json.h"
#include "tests/golden/report.h"
#include "tokenizer/tokenizer.h"

namespace cleave::golden {

// From a .json or .json.xz file.
absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(const std::string& file);

absl::StatusOr<std::vector<TokenId>> ReadIds(const JsonValue& line, absl::string_view key);

// "12 34 56": for messages.
std::string ShowIds(const std::vector<TokenId>& ids);

enum class Verdict { kSame, kDiffers };

// What one line gave; `detail` is shown for the first lines that differ.
struct LineResult {
  Verdict verdict;
  std::string detail;
};

// Gets a line as it is read, and its text for what must survive reading.
using LineCheck =
    std::function<absl::StatusOr<LineResult>(const JsonValue& line, const std::string& text)>;

// Runs `check` over every line of `path` and reports one case a kind, named `subject`/kind.
// Returns how many lines failed.
int CheckLines(const std::string& path, absl::string_view subject, const LineCheck& check,
               Report& report);

// One failed case that says why nothing could be checked; returns 1.
int ReportFailure(absl::string_view subject, const absl::Status& status, Report& report);

}  // namespace cleave::golden
