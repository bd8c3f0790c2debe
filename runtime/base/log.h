// One line for each change of state: logfmt on stderr.
//
//   Log(Severity::kInfo, "sequence_joined", {{"request", id}, {"tokens", n}});
//   2026-11-24T06:30:00.123Z info sequence_joined request=7f3a tokens=52
//
// Never once per token, never a prompt or an answer.
#pragma once

#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cleave {

enum class Severity { kInfo, kWarning, kError };

struct LogField {
  template <typename Value>
  LogField(absl::string_view name, const Value& content)  // NOLINT(google-explicit-constructor)
      : key(name), value(absl::StrCat(content)) {}
  absl::string_view key;
  std::string value;
};

// Thread-safe: a line is one write. Values with spaces, quotes or control characters are quoted.
void Log(Severity severity, absl::string_view event, std::initializer_list<LogField> fields = {});

// Leaves out what is less severe; at the start nothing is.
void SetLogSeverityMin(Severity severity);

}  // namespace cleave
