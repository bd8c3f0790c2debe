// RapidJSON's reader as both of our JSON types use it. Internal to runtime/base.
#pragma once

#include <rapidjson/encodedstream.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace cleave {

// The value of a number's text; false for one beyond a double. (RapidJSON's exact conversion is
// undefined for a zero with a large exponent, its other one is not exact.)
inline bool ReadJsonNumber(absl::string_view digits, double* value) {
  return absl::SimpleAtod(digits, value) && std::isfinite(*value);
}

// The reader validates UTF-8 and the first half of a surrogate pair; a second half that is spelled
// alone it lets through, as three bytes that are no UTF-8.
inline bool HasHalfPair(absl::string_view text) {
  for (size_t i = text.find('\xED'); i != absl::string_view::npos; i = text.find('\xED', i + 1)) {
    if (i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0xA0) return true;
  }
  return false;
}

// Passes the events of one JSON text to `handler`, numbers as their text. A handler refuses a
// number beyond a double and a string with half of a surrogate pair by returning false.
// INVALID_ARGUMENT, with `name` and the byte, for what ReadJsonText or the handler refuses.
template <class Handler>
absl::Status ReadJsonText(absl::string_view text, absl::string_view name, int depth_max,
                          Handler& handler) {
  // Iterative: nesting costs heap, not stack.
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag |
                              rapidjson::kParseValidateEncodingFlag |
                              rapidjson::kParseNumbersAsStringsFlag;
  RETURN_IF_ERROR(CheckJsonDepth(text, name, depth_max));
  rapidjson::Reader reader;
  rapidjson::MemoryStream bytes(text.data(), text.size());
  rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> stream(bytes);
  reader.Parse<kFlags>(stream, handler);
  if (reader.GetParseErrorCode() == rapidjson::kParseErrorTermination) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": at byte ", reader.GetErrorOffset(),
                     ": a number beyond a double or half of a surrogate pair"));
  }
  if (reader.HasParseError()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": not JSON at byte ", reader.GetErrorOffset(), ": ",
                     rapidjson::GetParseError_En(reader.GetParseErrorCode())));
  }
  if (stream.Tell() == text.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(  // the library takes it for the end
      absl::StrCat(name, ": not JSON at byte ", stream.Tell(), ": a NUL"));
}

}  // namespace cleave
