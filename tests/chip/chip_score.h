// Asks a running cluster and counts right answers, skill by skill.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/chip/chip_cases.h"

namespace cleave {

struct SkillScore {
  int asked = 0;
  int right = 0;
  std::vector<std::string> wrong;  // what was wanted and what came
};

// Asks all cases, `at_once` at a time. An answer is right when its text, or its calls, are those
// wanted, to the letter; white space at both ends does not count. Fails with the first error of a
// request.
absl::StatusOr<std::map<std::string, SkillScore>> ScoreCases(const std::string& gateway,
                                                             const std::vector<ChipCase>& cases,
                                                             int at_once);

// One line a skill: share, right, asked.
std::string FormatScores(const std::map<std::string, SkillScore>& scores);

}  // namespace cleave
