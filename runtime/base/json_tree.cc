#include "runtime/base/json_tree.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/base/json_reader.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Keys of members whose values stand on a stack just above them, as one object. `members` keeps its
// storage while the views into it are used.
JsonObject MakeObject(std::vector<Json>& stack, size_t first) {
  JsonObject members;
  members.reserve((stack.size() - first) / 2);
  absl::flat_hash_map<absl::string_view, size_t> places;
  for (size_t i = first; i < stack.size(); i += 2) {
    std::string& key = std::get<std::string>(stack[i].value);
    const auto found = places.find(key);
    if (found != places.end()) {
      members[found->second].value = std::move(stack[i + 1]);
      continue;
    }
    members.push_back({std::move(key), std::move(stack[i + 1])});
    places.emplace(members.back().key, members.size() - 1);
  }
  return members;
}

// Builds the tree from a reader's events: finished values stand on a stack until the bracket around
// them closes.
struct TreeBuilder : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, TreeBuilder> {
  using Size = rapidjson::SizeType;

  bool Null() { return Push({nullptr}); }
  bool Bool(bool value) { return Push({value}); }
  bool RawNumber(const char* text, Size length, bool) {
    const absl::string_view digits(text, length);
    double real = 0;
    if (!ReadJsonNumber(digits, &real)) return false;
    return Push({JsonNumber{std::string(digits)}});
  }
  bool String(const char* text, Size length, bool) {
    if (HasHalfPair({text, length})) return false;
    return Push({std::string(text, length)});
  }
  bool Key(const char* text, Size length, bool copy) { return String(text, length, copy); }
  bool StartObject() { return true; }
  bool EndObject(Size members) {
    const size_t first = stack.size() - 2 * static_cast<size_t>(members);
    return Replace(first, {MakeObject(stack, first)});
  }
  bool StartArray() { return true; }
  bool EndArray(Size elements) {
    const size_t first = stack.size() - elements;
    JsonArray array(std::make_move_iterator(stack.begin() + static_cast<std::ptrdiff_t>(first)),
                    std::make_move_iterator(stack.end()));
    return Replace(first, {std::move(array)});
  }

  bool Push(Json value) {
    stack.push_back(std::move(value));
    return true;
  }
  bool Replace(size_t first, Json value) {
    stack.resize(first);
    return Push(std::move(value));
  }

  std::vector<Json> stack;
};

void AppendJson(const Json& json, std::string& out);

void AppendElements(const JsonArray& array, std::string& out) {
  absl::string_view separator = "";
  for (const Json& element : array) {
    absl::StrAppend(&out, separator);
    AppendJson(element, out);
    separator = ",";
  }
}

void AppendMembers(const JsonObject& object, std::string& out) {
  absl::string_view separator = "";
  for (const JsonMember& member : object) {
    absl::StrAppend(&out, separator);
    AppendJsonString(member.key, out);
    out.push_back(':');
    AppendJson(member.value, out);
    separator = ",";
  }
}

void AppendJson(const Json& json, std::string& out) {
  if (const std::string* text = json.AsString()) {
    AppendJsonString(*text, out);
  } else if (const JsonNumber* number = json.AsNumber()) {
    absl::StrAppend(&out, number->text);
  } else if (const bool* boolean = json.AsBool()) {
    absl::StrAppend(&out, *boolean ? "true" : "false");
  } else if (const JsonArray* array = json.AsArray()) {
    out.push_back('[');
    AppendElements(*array, out);
    out.push_back(']');
  } else if (const JsonObject* object = json.AsObject()) {
    out.push_back('{');
    AppendMembers(*object, out);
    out.push_back('}');
  } else {
    absl::StrAppend(&out, "null");
  }
}

}  // namespace

const Json* Json::Find(absl::string_view key) const {
  const JsonObject* members = AsObject();
  if (members == nullptr) return nullptr;
  for (const JsonMember& member : *members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Json* Json::Find(absl::string_view key) {
  return const_cast<Json*>(static_cast<const Json*>(this)->Find(key));
}

absl::string_view Json::TypeName() const {
  constexpr absl::string_view kNames[] = {"null",     "true or false", "a number",
                                          "a string", "a list",        "an object"};
  return kNames[value.index()];
}

absl::StatusOr<Json> ParseJson(absl::string_view text, int depth_max) {
  TreeBuilder builder;
  RETURN_IF_ERROR(ReadJsonText(text, "JSON", depth_max, builder));
  return std::move(builder.stack.front());
}

void AppendJsonString(absl::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(&out, "\\u%04x", static_cast<int>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

std::string FormatJson(const Json& json) {
  std::string out;
  AppendJson(json, out);
  return out;
}

}  // namespace cleave
