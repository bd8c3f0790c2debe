#include "tokenizer/tool_format.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/python_text.h"
#include "tokenizer/unicode_door.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

enum class Keys { kPlain, kQuoted };

// Sorted by lower case; keys that differ in case alone stay in the text's order. UTF-8 sorts as its
// code points do.
std::vector<const JsonMember*> Sorted(const JsonObject& object) {
  std::vector<std::pair<std::string, const JsonMember*>> members;
  members.reserve(object.size());
  for (const JsonMember& member : object) members.emplace_back(LowerCase(member.key), &member);
  std::stable_sort(members.begin(), members.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const JsonMember*> sorted;
  sorted.reserve(members.size());
  for (const auto& [lower, member] : members) sorted.push_back(member);
  return sorted;
}

// Writes commas between what is written after Next().
class CommaList {
 public:
  explicit CommaList(PromptWriter& writer) : writer_(writer) {}
  void Next() {
    if (!is_first_) writer_.Text(",");
    is_first_ = false;
  }

 private:
  PromptWriter& writer_;
  bool is_first_ = true;
};

void WriteValue(const Json& value, Keys keys, PromptWriter& writer);

void WriteMembers(const JsonObject& object, Keys keys, PromptWriter& writer) {
  CommaList list(writer);
  for (const JsonMember* member : Sorted(object)) {
    list.Next();
    if (keys == Keys::kQuoted) {
      writer.Quoted(member->key);
    } else {
      writer.Text(member->key);
    }
    writer.Text(":");
    WriteValue(member->value, keys, writer);
  }
}

void WriteValue(const Json& value, Keys keys, PromptWriter& writer) {
  if (const std::string* text = value.AsString()) {
    writer.Quoted(*text);
  } else if (const bool* boolean = value.AsBool()) {
    writer.Text(*boolean ? "true" : "false");
  } else if (const JsonNumber* number = value.AsNumber()) {
    writer.Text(PythonNumber(*number));
  } else if (const JsonObject* object = value.AsObject()) {
    writer.Text("{");
    WriteMembers(*object, keys, writer);
    writer.Text("}");
  } else if (const JsonArray* array = value.AsArray()) {
    writer.Text("[");
    CommaList list(writer);
    for (const Json& element : *array) {
      list.Next();
      WriteValue(element, keys, writer);
    }
    writer.Text("]");
  } else {
    writer.Text("null");
  }
}

// ---- Declarations.

// The member when the template takes it for true, else nullptr.
const Json* FindTruthy(const Json& object, absl::string_view key) {
  const Json* member = object.Find(key);
  return member != nullptr && IsTruthy(*member) ? member : nullptr;
}

// The member's text, empty without one; null is "None".
std::string TextOf(const Json& object, absl::string_view key) {
  const Json* member = object.Find(key);
  return member == nullptr ? "" : PythonText(*member);
}

// What a message shows of a key that its sender chose.
absl::string_view Shown(absl::string_view key) {
  constexpr size_t kShownMax = 64;
  return key.substr(0, CodePointBoundaryAtMost(key, kShownMax));
}

// Writes the schema of one declaration. The path inside it is put together only for an error.
class SchemaWriter {
 public:
  explicit SchemaWriter(PromptWriter& writer) : writer_(writer) {}

  absl::Status Parameters(const Json& parameters) {
    writer_.Text(",parameters:{");
    if (const Json* properties = FindTruthy(parameters, "properties")) {
      ASSIGN_OR_RETURN(const JsonObject* object, Object(*properties, "properties"));
      writer_.Text("properties:{");
      RETURN_IF_ERROR(Properties(*object, "properties"));
      writer_.Text("},");
    }
    if (const Json* required = FindTruthy(parameters, "required")) {
      RETURN_IF_ERROR(Required(*required));
      writer_.Text(",");
    }
    if (const Json* type = FindTruthy(parameters, "type")) {
      Type(UpperCase(PythonText(*type)));
      writer_.Text("}");
    }
    return absl::OkStatus();
  }

  void Response(const Json& response) {
    writer_.Text(",response:{");
    if (FindTruthy(response, "description") != nullptr) {
      Description(response);
      writer_.Text(",");
    }
    if (UpperCase(TextOf(response, "type")) == "OBJECT") {
      Type("OBJECT");
      writer_.Text("}");
    }
  }

 private:
  static absl::Status Refuse(absl::string_view field, absl::string_view limit, const Json& found) {
    return InvalidField(Reason::kFieldInvalid, field, limit, found.TypeName());
  }

  static absl::StatusOr<const JsonObject*> Object(const Json& value, absl::string_view field) {
    if (value.AsObject() == nullptr) return Refuse(field, "an object", value);
    return value.AsObject();
  }

  absl::Status Properties(const JsonObject& properties, absl::string_view field) {
    return PrefixField(Members(properties, [](const JsonMember&) { return true; }), field);
  }

  // A mapping of names to schemas; only those that `is_wanted`.
  template <typename Predicate>
  absl::Status Members(const JsonObject& properties, const Predicate& is_wanted) {
    CommaList list(writer_);
    for (const JsonMember* member : Sorted(properties)) {
      if (!is_wanted(*member)) continue;
      list.Next();
      writer_.Text(absl::StrCat(member->key, ":{"));
      const absl::Status written = Fields(member->value);
      if (!written.ok()) return PrefixField(written, Shown(member->key));
      writer_.Text("}");
    }
    return absl::OkStatus();
  }

  // One property's schema; its type comes last.
  absl::Status Fields(const Json& schema) {
    const std::string type = UpperCase(TextOf(schema, "type"));
    CommaList list(writer_);
    if (FindTruthy(schema, "description") != nullptr) {
      list.Next();
      Description(schema);
    }
    const Json* values = type == "STRING" ? FindTruthy(schema, "enum") : nullptr;
    if (values != nullptr) {
      list.Next();
      writer_.Text("enum:");
      WriteValue(*values, Keys::kQuoted, writer_);
    }
    const Json* items = type == "ARRAY" ? FindTruthy(schema, "items") : nullptr;
    if (items != nullptr && items->AsObject() != nullptr) {
      list.Next();
      RETURN_IF_ERROR(Items(*items->AsObject()));
    }
    if (FindTruthy(schema, "nullable") != nullptr) {
      list.Next();
      writer_.Text("nullable:true");
    }
    if (type == "OBJECT") RETURN_IF_ERROR(ObjectFields(schema, list));
    list.Next();
    Type(type);
    return absl::OkStatus();
  }

  // Without a mapping of properties the other keywords of the schema pass for properties.
  absl::Status ObjectFields(const Json& schema, CommaList& list) {
    list.Next();
    writer_.Text("properties:{");
    const Json* properties = schema.Find("properties");
    if (properties != nullptr && properties->AsObject() != nullptr) {
      RETURN_IF_ERROR(Properties(*properties->AsObject(), "properties"));
    } else {
      RETURN_IF_ERROR(Members(*schema.AsObject(), [](const JsonMember& member) {
        constexpr absl::string_view kStandard[] = {"description", "type", "properties", "required",
                                                   "nullable"};
        return std::find(std::begin(kStandard), std::end(kStandard), member.key) ==
               std::end(kStandard);
      }));
    }
    writer_.Text("}");
    if (const Json* required = FindTruthy(schema, "required")) {
      list.Next();
      RETURN_IF_ERROR(Required(*required));
    }
    return absl::OkStatus();
  }

  absl::Status Items(const JsonObject& items) {
    writer_.Text("items:{");
    CommaList list(writer_);
    for (const JsonMember* member : Sorted(items)) {
      if (member->value.IsNull()) continue;
      list.Next();
      RETURN_IF_ERROR(PrefixField(Item(*member), "items"));
    }
    writer_.Text("}");
    return absl::OkStatus();
  }

  absl::Status Item(const JsonMember& item) {
    const auto& [key, value] = item;
    if (key == "properties") {
      writer_.Text("properties:{");
      if (value.AsObject() != nullptr) RETURN_IF_ERROR(Properties(*value.AsObject(), key));
      writer_.Text("}");
      return absl::OkStatus();
    }
    if (key == "required") return Required(value);
    writer_.Text(absl::StrCat(key, ":"));
    if (key != "type") {
      WriteValue(value, Keys::kQuoted, writer_);
      return absl::OkStatus();
    }
    if (const std::string* text = value.AsString()) {
      writer_.Quoted(UpperCase(*text));
      return absl::OkStatus();
    }
    if (value.AsArray() == nullptr) return Refuse(key, "a string or a list of strings", value);
    Names(*value.AsArray(), [](const Json& type) { return UpperCase(PythonText(type)); });
    return absl::OkStatus();
  }

  absl::Status Required(const Json& required) {
    if (required.AsArray() == nullptr) return Refuse("required", "a list of strings", required);
    writer_.Text("required:");
    Names(*required.AsArray(), PythonText);
    return absl::OkStatus();
  }

  template <typename Print>
  void Names(const JsonArray& names, const Print& print) {
    writer_.Text("[");
    CommaList list(writer_);
    for (const Json& name : names) {
      list.Next();
      writer_.Quoted(print(name));
    }
    writer_.Text("]");
  }

  void Description(const Json& schema) {
    writer_.Text("description:");
    writer_.Quoted(TextOf(schema, "description"));
  }

  void Type(absl::string_view upper) {
    writer_.Text("type:");
    writer_.Quoted(upper);
  }

  PromptWriter& writer_;
};

}  // namespace

absl::Status WriteDeclaration(const Tool& tool, PromptWriter& writer) {
  const Json& function = tool.function;
  const Json* name = function.Find("name");
  if (name == nullptr || name->AsString() == nullptr) {
    return InvalidField(Reason::kFieldInvalid, "name", "a string",
                        name == nullptr ? "nothing" : name->TypeName());
  }
  writer.Text(absl::StrCat("declaration:", *name->AsString(), "{description:"));
  writer.Quoted(TextOf(function, "description"));
  SchemaWriter schema(writer);
  if (const Json* parameters = FindTruthy(function, "parameters")) {
    RETURN_IF_ERROR(PrefixField(schema.Parameters(*parameters), "parameters"));
  }
  if (const Json* response = function.Find("response")) schema.Response(*response);
  writer.Text("}");
  return absl::OkStatus();
}

void WriteToolCall(const ToolCall& call, PromptWriter& writer) {
  writer.Control(writer.special().tool_call_begin);
  writer.Text(absl::StrCat("call:", call.name, "{"));
  if (const JsonObject* arguments = call.arguments.AsObject()) {
    WriteMembers(*arguments, Keys::kPlain, writer);
  }
  writer.Text("}");
  writer.Control(writer.special().tool_call_end);
}

void WriteToolResponse(absl::string_view name, const Json& response, PromptWriter& writer) {
  writer.Control(writer.special().tool_response_begin);
  writer.Text(absl::StrCat("response:", name, "{"));
  if (const JsonObject* members = response.AsObject()) {
    WriteMembers(*members, Keys::kPlain, writer);
  } else {
    writer.Text("value:");
    WriteValue(response, Keys::kPlain, writer);
  }
  writer.Text("}");
  writer.Control(writer.special().tool_response_end);
}

}  // namespace cleave
