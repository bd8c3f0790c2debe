#include "runtime/base/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

TEST(ErrorTest, DetailSurvivesTheStatus) {
  const ErrorDetail detail{.reason = Reason::kContextTooLong,
                           .field = "messages[0].parts[1]",
                           .limit = "131072 tokens",
                           .actual = "140000 tokens",
                           .retry_after = absl::Milliseconds(1500)};
  const absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "too long", detail);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "too long");
  ASSERT_TRUE(GetErrorDetail(status));
  EXPECT_TRUE(*GetErrorDetail(status) == detail);
  EXPECT_EQ(GetReason(status), Reason::kContextTooLong);
}

TEST(ErrorTest, AbsentPartsStayAbsent) {
  const absl::Status status = MakeError(absl::StatusCode::kAborted, "lost",
                                        {.reason = Reason::kWorkerLost,
                                         .field = "",
                                         .limit = "",
                                         .actual = "",
                                         .retry_after = std::nullopt});
  EXPECT_FALSE(GetErrorDetail(status)->retry_after);
  EXPECT_FALSE(GetErrorDetail(absl::InternalError("plain")));
  EXPECT_EQ(GetReason(absl::OkStatus()), Reason::kUnspecified);
}

TEST(ErrorTest, SeparatorInsideAPartIsReplaced) {
  const absl::Status status = InvalidField(Reason::kFieldInvalid,
                                           "a\x1f"
                                           "b",
                                           "no\x1fsuch", "x");
  ASSERT_TRUE(GetErrorDetail(status));
  EXPECT_EQ(GetErrorDetail(status)->field, "a b");
  EXPECT_EQ(GetErrorDetail(status)->limit, "no such");
}

TEST(ErrorTest, EveryReasonHasItsOwnName) {
  std::set<std::string> names;
  for (size_t i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    names.insert(std::string(ReasonName(reason)));
    EXPECT_EQ(ReasonFromName(ReasonName(reason)), reason);
  }
  EXPECT_EQ(names.size(), kReasonCount);
  EXPECT_EQ(ReasonFromName("NEVER_HEARD_OF"), Reason::kUnspecified);
}

TEST(ErrorTest, PrefixFieldPutsTheOuterPathInFront) {
  const absl::Status inner = InvalidField(Reason::kFieldInvalid, "parts[1]", "1 to 8", "9");
  const absl::Status outer = PrefixField(inner, "messages[0]");
  EXPECT_EQ(outer.message(), "messages[0].parts[1]: found 9, allowed is 1 to 8");
  EXPECT_EQ(GetErrorDetail(outer)->field, "messages[0].parts[1]");
  const absl::Status top = PrefixField(InvalidField(Reason::kFieldInvalid, "", "8", "9"), "n");
  EXPECT_EQ(top.message(), "n: found 9, allowed is 8");
  EXPECT_EQ(PrefixField(absl::InternalError("plain"), "n").message(), "plain");
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}
absl::StatusOr<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const int half, Half(value));
  ASSIGN_OR_RETURN(const int quarter, Half(half));
  RETURN_IF_ERROR(quarter == 0 ? absl::OutOfRangeError("zero") : absl::OkStatus());
  return quarter;
}

TEST(StatusTest, MacrosReturnTheFirstError) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  EXPECT_EQ(Quarter(0).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace cleave
