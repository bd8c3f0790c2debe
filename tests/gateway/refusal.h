// What a refused request must say of itself.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "runtime/base/error.h"

namespace cleave {

// The field that `status` refuses: INVALID_ARGUMENT for `reason`, with a limit and what was found.
inline std::string CheckRefusal(const absl::Status& status, Reason reason = Reason::kFieldInvalid) {
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  const ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail{});
  EXPECT_EQ(ReasonName(detail.reason), ReasonName(reason));
  EXPECT_NE(detail.limit, "");
  EXPECT_NE(detail.actual, "");
  return detail.field;
}

}  // namespace cleave
