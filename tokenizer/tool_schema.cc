#include "tokenizer/tool_schema.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

constexpr size_t kKeyShownMax = 64;  // bytes of a key in an error's path

absl::Status Refuse(absl::string_view field, absl::string_view limit, absl::string_view actual) {
  return InvalidField(Reason::kFieldInvalid, field, limit, actual);
}

void Set(JsonObject& object, absl::string_view key, Json value) {
  const auto found = std::find_if(object.begin(), object.end(),
                                  [&](const JsonMember& member) { return member.key == key; });
  if (found != object.end()) {
    found->value = std::move(value);
  } else {
    object.push_back({std::string(key), std::move(value)});
  }
}

bool IsType(const Json& type, absl::string_view name) {
  return type.AsString() != nullptr && absl::EqualsIgnoreCase(*type.AsString(), name);
}

bool IsNullType(const Json& type) { return IsType(type, "null"); }

// {"type": "null"}.
bool IsNullSchema(const Json& schema) {
  const Json* type = schema.Find("type");
  return type != nullptr && IsNullType(*type);
}

// ---- What a keyword may be.

absl::Status CheckStrings(const Json& schema, absl::string_view key) {
  const Json* list = schema.Find(key);
  if (list == nullptr) return absl::OkStatus();
  if (list->AsArray() == nullptr) return Refuse(key, "a list of strings", list->TypeName());
  for (const Json& element : *list->AsArray()) {
    if (element.AsString() == nullptr) return Refuse(key, "a list of strings", element.TypeName());
  }
  return absl::OkStatus();
}

absl::Status CheckDescription(const Json& schema) {
  const Json* text = schema.Find("description");
  if (text == nullptr || text->AsString() != nullptr) return absl::OkStatus();
  return Refuse("description", "a string", text->TypeName());
}

absl::Status CheckType(const Json& schema) {
  const Json* type = schema.Find("type");
  if (type == nullptr || type->AsString() != nullptr) return absl::OkStatus();
  if (type->AsArray() == nullptr || type->AsArray()->empty()) {
    return Refuse("type", "a string or a list of strings",
                  type->AsArray() == nullptr ? type->TypeName() : "an empty list");
  }
  return CheckStrings(schema, "type");
}

// ---- One schema.

// Of anyOf or oneOf: the one alternative besides null stands for the schema that has no type of its
// own.
void TakeOnlyAlternative(JsonObject& schema, absl::string_view key) {
  const auto list = std::find_if(schema.begin(), schema.end(),
                                 [&](const JsonMember& member) { return member.key == key; });
  if (list == schema.end() || list->value.AsArray() == nullptr) return;
  JsonArray& alternatives = *list->value.AsArray();
  const auto is_null = [](const Json& alternative) { return IsNullSchema(alternative); };
  const auto only = std::find_if_not(alternatives.begin(), alternatives.end(), is_null);
  if (only == alternatives.end() || only->AsObject() == nullptr) return;
  if (!std::all_of(only + 1, alternatives.end(), is_null)) return;
  const bool is_nullable = alternatives.size() > 1;
  JsonObject taken = std::move(*only->AsObject());
  schema.erase(list);
  absl::flat_hash_set<std::string> known;
  for (const JsonMember& member : schema) known.insert(member.key);
  for (JsonMember& member : taken) {
    if (!known.contains(member.key)) schema.push_back(std::move(member));
  }
  if (is_nullable) Set(schema, "nullable", {true});
}

void SplitTypes(JsonObject& schema) {
  const auto member = std::find_if(schema.begin(), schema.end(),
                                   [](const JsonMember& m) { return m.key == "type"; });
  if (member == schema.end() || member->value.AsArray() == nullptr) return;
  const JsonArray types = std::move(*member->value.AsArray());
  const auto kept = std::find_if_not(types.begin(), types.end(), IsNullType);
  member->value = kept == types.end() ? types.front() : *kept;
  if (kept != types.end() && std::any_of(types.begin(), types.end(), IsNullType)) {
    Set(schema, "nullable", {true});
  }
}

// The format would show the keywords of an object without properties as if they were some.
void ShowNoKeywords(Json& schema) {
  const Json* type = schema.Find("type");
  if (type == nullptr || !IsType(*type, "object") || schema.Find("properties") != nullptr) return;
  schema.AsObject()->push_back({"properties", {JsonObject()}});
}

absl::Status NormalizeProperty(Json& schema);

absl::Status NormalizeProperties(Json& schema) {
  Json* properties = schema.Find("properties");
  if (properties == nullptr) return absl::OkStatus();
  if (properties->AsObject() == nullptr) {
    return Refuse("properties", "an object", properties->TypeName());
  }
  for (JsonMember& member : *properties->AsObject()) {
    const absl::Status status = NormalizeProperty(member.value);
    if (status.ok()) continue;
    const absl::string_view key = member.key;
    return PrefixField(
        PrefixField(status, key.substr(0, CodePointBoundaryAtMost(key, kKeyShownMax))),
        "properties");
  }
  return absl::OkStatus();
}

// Items are shown with all their keywords, so a list of types stays one.
absl::Status NormalizeItems(Json& schema) {
  Json* items = schema.Find("items");
  if (items == nullptr || items->AsObject() == nullptr) return absl::OkStatus();
  absl::Status status = CheckType(*items);
  if (status.ok()) status = CheckStrings(*items, "required");
  if (status.ok()) status = NormalizeProperties(*items);
  return PrefixField(status, "items");
}

absl::Status NormalizeProperty(Json& schema) {
  if (schema.AsBool() != nullptr) return absl::OkStatus();  // JSON Schema's "anything", "nothing"
  if (schema.AsObject() == nullptr) return Refuse("", "a schema", schema.TypeName());
  if (schema.Find("type") == nullptr) {
    TakeOnlyAlternative(*schema.AsObject(), "anyOf");
    TakeOnlyAlternative(*schema.AsObject(), "oneOf");
  }
  RETURN_IF_ERROR(CheckType(schema));
  SplitTypes(*schema.AsObject());
  ShowNoKeywords(schema);
  RETURN_IF_ERROR(CheckDescription(schema));
  RETURN_IF_ERROR(CheckStrings(schema, "required"));
  RETURN_IF_ERROR(NormalizeProperties(schema));
  return NormalizeItems(schema);
}

// A schema that must be an object's, told or not.
absl::Status RequireObject(Json& schema) {
  if (schema.AsObject() == nullptr) return Refuse("", "a schema", schema.TypeName());
  const Json* type = schema.Find("type");
  if (type == nullptr) {
    Set(*schema.AsObject(), "type", {std::string("object")});
  } else if (!IsType(*type, "object")) {
    const std::string found = type->AsString() == nullptr ? std::string(type->TypeName())
                                                          : type->AsString()->substr(0, 32);
    return Refuse("type", "\"object\"", found);
  }
  return CheckDescription(schema);
}

}  // namespace

absl::Status NormalizeParameters(Json& schema) {
  RETURN_IF_ERROR(RequireObject(schema));
  RETURN_IF_ERROR(CheckStrings(schema, "required"));
  return NormalizeProperties(schema);
}

absl::Status NormalizeResponse(Json& schema) { return RequireObject(schema); }

}  // namespace cleave
