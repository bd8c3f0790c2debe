// Early return on an absl::Status that is not OK.
//
//   RETURN_IF_ERROR(file.Check());
//   ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define CLEAVE_CONCAT_INNER(a, b) a##b
#define CLEAVE_CONCAT(a, b) CLEAVE_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                            \
  do {                                                         \
    absl::Status cleave_status_value = (expression);           \
    if (!cleave_status_value.ok()) return cleave_status_value; \
  } while (false)

#define ASSIGN_OR_RETURN(declaration, expression) \
  CLEAVE_ASSIGN_OR_RETURN(CLEAVE_CONCAT(cleave_status_or_, __LINE__), declaration, expression)

#define CLEAVE_ASSIGN_OR_RETURN(result, declaration, expression) \
  auto result = (expression);                                    \
  if (!result.ok()) return result.status();                      \
  declaration = *std::move(result)  // NOLINT(bugprone-macro-parentheses)
