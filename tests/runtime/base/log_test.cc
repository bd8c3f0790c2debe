#include "runtime/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "runtime/base/check.h"

namespace cleave {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

TEST(LogTest, OneLineOfLogfmt) {
  testing::internal::CaptureStderr();
  Log(Severity::kWarning, "something_changed", {{"request", "7f3a"}, {"tokens", 52}});
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              MatchesRegex("[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z warning "
                           "something_changed request=7f3a tokens=52\n"));
}

TEST(LogTest, ValuesCannotForgeFieldsOrLines) {
  testing::internal::CaptureStderr();
  Log(Severity::kInfo, "e",
      {{"a", "two words"}, {"b", "x=1"}, {"c", ""}, {"d", "q\"q"}, {"e", "1\n2"}, {"f", "\xff"}});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_THAT(line, HasSubstr("a=\"two words\""));
  EXPECT_THAT(line, HasSubstr("b=\"x=1\""));
  EXPECT_THAT(line, HasSubstr("c=\"\""));
  EXPECT_THAT(line, HasSubstr("d=\"q\\\"q\""));
  EXPECT_THAT(line, HasSubstr("e=\"1\\n2\""));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(LogTest, LeavesOutWhatIsLessSevere) {
  testing::internal::CaptureStderr();
  SetLogSeverityMin(Severity::kWarning);
  Log(Severity::kInfo, "left_out");
  Log(Severity::kWarning, "told");
  SetLogSeverityMin(Severity::kInfo);
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_THAT(lines, HasSubstr("told"));
  EXPECT_EQ(lines.find("left_out"), std::string::npos);
}

TEST(CheckDeathTest, NamesTheConditionAndThePlace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int two = 2;
  CHECK(two == 2);
  EXPECT_DEATH(CHECK(two == 3), "log_test.cc:[0-9]+: CHECK failed: two == 3");
}

}  // namespace
}  // namespace cleave
