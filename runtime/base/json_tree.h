// JSON as a value of its own, for what is handed on and not just read: the spelling of numbers and
// the order of keys survive.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cleave {

struct Json;
struct JsonMember;

// A number as it was spelled: "1", "1.0", "-0.0".
struct JsonNumber {
  std::string text;
};

using JsonArray = std::vector<Json>;
using JsonObject = std::vector<JsonMember>;  // in the text's order, each key once

// A value and everything below it. Strings and keys are well-formed UTF-8 when ParseJson made them.
// Destroyed recursively, so its depth is bounded where it is made.
struct Json {
  std::variant<std::nullptr_t, bool, JsonNumber, std::string, JsonArray, JsonObject> value;

  bool IsNull() const { return std::holds_alternative<std::nullptr_t>(value); }
  // The value as one type; nullptr when it is of another.
  const bool* AsBool() const { return std::get_if<bool>(&value); }
  const JsonNumber* AsNumber() const { return std::get_if<JsonNumber>(&value); }
  const std::string* AsString() const { return std::get_if<std::string>(&value); }
  const JsonArray* AsArray() const { return std::get_if<JsonArray>(&value); }
  const JsonObject* AsObject() const { return std::get_if<JsonObject>(&value); }
  JsonArray* AsArray() { return std::get_if<JsonArray>(&value); }
  JsonObject* AsObject() { return std::get_if<JsonObject>(&value); }

  // The member of that key; nullptr without one, or when this is no object.
  const Json* Find(absl::string_view key) const;
  Json* Find(absl::string_view key);

  // "an object", "a string", "null", ...: for messages.
  absl::string_view TypeName() const;
};

struct JsonMember {
  std::string key;
  Json value;
};

// Reads one JSON text. A key that occurs again takes the place of the first and the value of the
// last, as in Python's json. INVALID_ARGUMENT, naming the byte, for text that is not JSON, not
// UTF-8 (half of a surrogate pair counts), nested deeper than `depth_max`, or that holds a number
// beyond the range of a double.
absl::StatusOr<Json> ParseJson(absl::string_view text, int depth_max);

// The value as compact JSON: numbers as they are spelled, text unescaped where JSON allows.
std::string FormatJson(const Json& json);

// Appends `text` (UTF-8) as a JSON string, in quotes.
void AppendJsonString(absl::string_view text, std::string& out);

}  // namespace cleave
