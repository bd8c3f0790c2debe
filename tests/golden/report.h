// What a golden run found: one line a case and stage that is worth reading, a verdict a case, and
// the last line "N passed, N failed".
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace cleave::golden {

class Report {
 public:
  // Prints only the failing and the last lines.
  explicit Report(bool quiet = false) : quiet_(quiet) {}

  // Compares a measured error with its bound; a stage beyond it (or NaN) fails the open case.
  void Stage(absl::string_view stage, double error, double bound);
  // A stage that is right or wrong. `detail` is printed when it is wrong.
  void Exact(absl::string_view stage, bool equal, absl::string_view detail = "");
  // Opens a case; everything until the next Case belongs to it.
  void Case(absl::string_view name);
  // A line for the reader that changes no verdict: a declared deviation, a kind not read yet.
  void Note(absl::string_view text);

  // Closes the last case and prints the total.
  // Returns the exit code: 0 when at least one case ran and none failed.
  int Finish();

 private:
  void Close();

  bool quiet_;
  std::string case_;
  bool case_failed_ = false;
  int passed_ = 0;
  int failed_ = 0;
};

}  // namespace cleave::golden
