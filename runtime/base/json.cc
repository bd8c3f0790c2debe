#include "runtime/base/json.h"

#include <rapidjson/document.h>

#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/json_reader.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr size_t kKeyShownMax = 512;  // bytes, of one that is an error

using Node = rapidjson::Value;

const Node& AsNode(const void* node) { return *static_cast<const Node*>(node); }

absl::string_view Text(const Node& node) { return {node.GetString(), node.GetStringLength()}; }

const Node* FindMember(const Node& node, absl::string_view key) {
  if (!node.IsObject()) return nullptr;
  const auto found = node.FindMember(
      Node(rapidjson::StringRef(key.data(), static_cast<rapidjson::SizeType>(key.size()))));
  return found == node.MemberEnd() ? nullptr : &found->value;
}

// Passes a reader's events on to the tree, and numbers as values.
struct TreeBuilder : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, TreeBuilder> {
  using Size = rapidjson::SizeType;
  explicit TreeBuilder(rapidjson::Document& document) : tree(document) {}

  bool Null() { return tree.Null(); }
  bool Bool(bool value) { return tree.Bool(value); }
  bool RawNumber(const char* text, Size length, bool) {
    const absl::string_view digits(text, length);
    int64_t integer;
    double real;
    if (absl::SimpleAtoi(digits, &integer)) return tree.Int64(integer);
    return ReadJsonNumber(digits, &real) && tree.Double(real);
  }
  bool String(const char* text, Size length, bool) {
    return !HasHalfPair({text, length}) && tree.String(text, length, true);
  }
  bool StartObject() { return tree.StartObject(); }
  bool Key(const char* text, Size length, bool) {
    return !HasHalfPair({text, length}) && tree.Key(text, length, true);
  }
  bool EndObject(Size members) { return tree.EndObject(members); }
  bool StartArray() { return tree.StartArray(); }
  bool EndArray(Size elements) { return tree.EndArray(elements); }

  rapidjson::Document& tree;
};

}  // namespace

absl::Status CheckJsonDepth(absl::string_view text, absl::string_view name, int depth_max) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > depth_max) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": nested deeper than ", depth_max, " levels"));
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return absl::OkStatus();
}

struct JsonDocument::Tree {
  std::string name;
  rapidjson::Document document;
};

JsonDocument::JsonDocument() : tree_(std::make_unique<Tree>()) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

absl::StatusOr<JsonDocument> JsonDocument::Parse(absl::string_view text, absl::string_view name) {
  JsonDocument document;
  document.tree_->name = std::string(name);
  absl::Status status;
  const auto build = [&](rapidjson::Document& root) {
    TreeBuilder builder(root);
    status = ReadJsonText(text, name, kJsonDepthMax, builder);
    return status.ok();
  };
  document.tree_->document.Populate(build);
  RETURN_IF_ERROR(status);
  return document;
}

JsonValue JsonDocument::root() const {
  const Node& node = tree_->document;
  return JsonValue(&node, tree_->name + ":");
}

bool JsonValue::IsObject() const { return AsNode(node_).IsObject(); }
bool JsonValue::IsArray() const { return AsNode(node_).IsArray(); }
bool JsonValue::IsString() const { return AsNode(node_).IsString(); }
bool JsonValue::IsNull() const { return AsNode(node_).IsNull(); }

bool JsonValue::Has(absl::string_view key) const {
  const Node* member = FindMember(AsNode(node_), key);
  return member != nullptr && !member->IsNull();
}

std::string JsonValue::Where() const { return path_; }

absl::Status JsonValue::WrongType(absl::string_view expected) const {
  return absl::InvalidArgumentError(absl::StrCat(path_, " is not ", expected));
}

absl::StatusOr<JsonValue> JsonValue::Member(absl::string_view key) const {
  const char* separator = path_.back() == ':' ? " " : ".";
  std::string path = absl::StrCat(path_, separator, key);
  const Node* member = FindMember(AsNode(node_), key);
  if (member == nullptr) return absl::InvalidArgumentError(absl::StrCat(path, " is missing"));
  return JsonValue(member, std::move(path));
}

absl::StatusOr<JsonValue> JsonValue::Object(absl::string_view key) const {
  ASSIGN_OR_RETURN(JsonValue member, Member(key));
  if (!member.IsObject()) return member.WrongType("an object");
  return member;
}

absl::StatusOr<int64_t> JsonValue::Int(absl::string_view key, IntRange range) const {
  ASSIGN_OR_RETURN(const JsonValue member, Member(key));
  return member.AsInt(range);
}

absl::StatusOr<double> JsonValue::Double(absl::string_view key) const {
  ASSIGN_OR_RETURN(const JsonValue member, Member(key));
  return member.AsDouble();
}

absl::StatusOr<double> JsonValue::AsDouble() const {
  if (!AsNode(node_).IsNumber()) return WrongType("a number");
  return AsNode(node_).GetDouble();
}

absl::StatusOr<bool> JsonValue::Bool(absl::string_view key) const {
  ASSIGN_OR_RETURN(const JsonValue member, Member(key));
  if (!AsNode(member.node_).IsBool()) return member.WrongType("true or false");
  return AsNode(member.node_).GetBool();
}

absl::StatusOr<std::string> JsonValue::String(absl::string_view key) const {
  ASSIGN_OR_RETURN(const JsonValue member, Member(key));
  ASSIGN_OR_RETURN(const absl::string_view text, member.AsString());
  return std::string(text);
}

absl::StatusOr<int64_t> JsonValue::AsInt(IntRange range) const {
  const Node& node = AsNode(node_);
  if (!node.IsInt64()) return WrongType("a 64-bit integer");
  const int64_t value = node.GetInt64();
  if (value < range.min || value > range.max) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, " is ", value, ", allowed is ", range.min, " to ", range.max));
  }
  return value;
}

absl::StatusOr<absl::string_view> JsonValue::AsString() const {
  if (!IsString()) return WrongType("a string");
  return Text(AsNode(node_));
}

absl::StatusOr<std::vector<JsonValue>> JsonValue::AsArray(size_t elements_max) const {
  if (!IsArray()) return WrongType("a list");
  std::vector<JsonValue> elements;
  const Node& node = AsNode(node_);
  if (node.Size() > elements_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, " has ", node.Size(), " elements, allowed are at most ", elements_max));
  }
  elements.reserve(node.Size());
  for (rapidjson::SizeType i = 0; i < node.Size(); ++i) {
    elements.push_back(JsonValue(&node[i], absl::StrCat(path_, "[", i, "]")));
  }
  return elements;
}

absl::StatusOr<std::vector<std::pair<absl::string_view, JsonValue>>> JsonValue::AsMembers() const {
  if (!IsObject()) return WrongType("an object");
  std::vector<std::pair<absl::string_view, JsonValue>> members;
  std::set<absl::string_view> keys;
  const char* separator = path_.back() == ':' ? " " : ".";
  for (const auto& member : AsNode(node_).GetObject()) {
    const absl::string_view key = Text(member.name);
    if (!keys.insert(key).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": the key \"", key.substr(0, kKeyShownMax), "\" occurs twice"));
    }
    members.emplace_back(key, JsonValue(&member.value, absl::StrCat(path_, separator, key)));
  }
  return members;
}

}  // namespace cleave
