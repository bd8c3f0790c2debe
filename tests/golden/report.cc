#include "tests/golden/report.h"

#include <cstdio>

#include "absl/strings/str_format.h"

namespace cleave::golden {

void Report::Case(absl::string_view name) {
  Close();
  case_ = std::string(name);
}

void Report::Close() {
  if (case_.empty()) return;
  ++(case_failed_ ? failed_ : passed_);
  if (case_failed_) {
    std::printf("FAILED  %s\n", case_.c_str());
  } else if (!quiet_) {
    std::printf("ok      %s\n", case_.c_str());
  }
  case_.clear();
  case_failed_ = false;
}

void Report::Stage(absl::string_view stage, double error, double bound) {
  const bool within = error <= bound;  // false for NaN
  if (!within) case_failed_ = true;
  if (!within || !quiet_) {
    std::printf("  %s %-28s largest error %.3g, bound %.3g\n", within ? " " : "!",
                std::string(stage).c_str(), error, bound);
  }
}

void Report::Exact(absl::string_view stage, bool equal, absl::string_view detail) {
  if (equal) {
    if (!quiet_) std::printf("    %-28s equal\n", std::string(stage).c_str());
    return;
  }
  case_failed_ = true;
  std::printf("  ! %-28s differs: %s\n", std::string(stage).c_str(), std::string(detail).c_str());
}

void Report::Note(absl::string_view text) { std::printf("note: %s\n", std::string(text).c_str()); }

int Report::Finish() {
  Close();
  std::printf("%d passed, %d failed\n", passed_, failed_);
  return failed_ == 0 && passed_ > 0 ? 0 : 1;
}

}  // namespace cleave::golden
