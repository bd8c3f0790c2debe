// EXPECT_OK(f()), ASSERT_OK_AND_ASSIGN(const int x, g()), and what an error says.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave::testing {

inline absl::Status GetStatus(const absl::Status& status) { return status; }
template <typename T>
absl::Status GetStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  const absl::Status status = GetStatus(arg);
  *result_listener << status.ToString();
  return status.ok();
}

// A status of this code whose message contains `part`.
MATCHER_P2(Fails, code, part, "") {
  const absl::Status status = GetStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         ::testing::Value(std::string(status.message()), ::testing::HasSubstr(part));
}

}  // namespace cleave::testing

#define EXPECT_OK(expression) EXPECT_THAT((expression), ::cleave::testing::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT((expression), ::cleave::testing::IsOk())
#define ASSERT_OK_AND_ASSIGN(declaration, expression) \
  ASSERT_OK_AND_ASSIGN_IMPL(CLEAVE_CONCAT(status_or_, __LINE__), declaration, expression)
#define ASSERT_OK_AND_ASSIGN_IMPL(result, declaration, expression) \
  auto result = (expression);                                      \
  ASSERT_OK(result);                                               \
  declaration = *std::move(result)
