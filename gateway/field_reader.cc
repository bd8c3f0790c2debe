#include "gateway/field_reader.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tool_call_text.h"

namespace cleave {
namespace {

// A short ASCII word whose characters all satisfy `allowed`.
template <typename Predicate>
absl::Status CheckWord(absl::string_view field, absl::string_view word, int bytes_max,
                       absl::string_view characters, const Predicate& allowed) {
  const std::string limit = absl::StrCat("1 to ", bytes_max, " of ", characters);
  if (word.empty()) return Invalid(field, limit, "nothing");
  if (word.size() > static_cast<size_t>(bytes_max)) {
    return Invalid(field, limit, absl::StrCat(word.size(), " bytes"));
  }
  const auto found = std::find_if_not(word.begin(), word.end(), allowed);
  if (found == word.end()) return absl::OkStatus();
  return Invalid(field, limit, absl::StrCat("another character at byte ", found - word.begin()));
}

}  // namespace

absl::Status Invalid(absl::string_view field, absl::string_view limit, absl::string_view actual) {
  return InvalidField(Reason::kFieldInvalid, field, limit, actual);
}

absl::Status AtMost(absl::string_view field, int64_t actual, int64_t max, absl::string_view unit) {
  if (actual <= max) return absl::OkStatus();
  return Invalid(field, absl::StrCat("at most ", max, unit), absl::StrCat(actual, unit));
}

absl::Status FieldReader::CheckText(absl::string_view field, absl::string_view text) {
  text_bytes_ += static_cast<int64_t>(text.size());
  if (text_bytes_ > limits_.text_bytes_max) {
    return Invalid(field, absl::StrCat("at most ", limits_.text_bytes_max, " bytes of text"),
                   absl::StrCat(text_bytes_, " bytes up to here"));
  }
  return CheckUtf8(text, field);
}

absl::Status FieldReader::CheckToolName(absl::string_view field, absl::string_view name) const {
  return CheckWord(field, name, kToolNameBytesMax, "A-Z, a-z, 0-9, '_', '.', '-'",
                   IsToolNameCharacter);
}

absl::Status FieldReader::CheckCallId(absl::string_view field, absl::string_view id) const {
  return CheckWord(field, id, limits_.call_id_bytes_max, "printable ASCII without spaces",
                   [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

absl::StatusOr<Json> FieldReader::ReadJson(absl::string_view field, absl::string_view text,
                                           int64_t bytes_max) {
  RETURN_IF_ERROR(AtMost(field, static_cast<int64_t>(text.size()), bytes_max, " bytes"));
  json_bytes_ += static_cast<int64_t>(text.size());
  if (json_bytes_ > limits_.json_bytes_max) {
    return Invalid(field, absl::StrCat("at most ", limits_.json_bytes_max, " bytes of JSON"),
                   absl::StrCat(json_bytes_, " bytes up to here"));
  }
  absl::StatusOr<Json> json = ParseJson(text, limits_.json_depth_max);
  if (json.ok()) return json;
  return Invalid(field, absl::StrCat("JSON of at most ", limits_.json_depth_max, " levels"),
                 json.status().message());
}

}  // namespace cleave
