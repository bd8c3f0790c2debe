// Reading JSON files whose author may be hostile: depth is bounded, keys keep their order, and an
// error names the file and the path inside it.
//
//   ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, "config.json"));
//   ASSIGN_OR_RETURN(const JsonValue text_config, document.root().Object("text_config"));
//   ASSIGN_OR_RETURN(const int64_t hidden, text_config.Int("hidden_size", {1, 1 << 20}));
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cleave {

struct IntRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

inline constexpr int kJsonDepthMax = 64;

// INVALID_ARGUMENT when brackets outside strings nest deeper than `depth_max` levels. For readers
// that make a tree of their own: one is destroyed recursively, so its depth is bounded before it
// exists.
absl::Status CheckJsonDepth(absl::string_view text, absl::string_view name,
                            int depth_max = kJsonDepthMax);

// A view into a JsonDocument, valid as long as that. Every getter fails with INVALID_ARGUMENT,
// naming the place, when the member is absent or of another type or range.
class JsonValue {
 public:
  bool IsObject() const;
  bool IsArray() const;
  bool IsString() const;
  bool IsNull() const;
  // Present and not null: the reference's writers use null for "not used".
  bool Has(absl::string_view key) const;

  absl::StatusOr<JsonValue> Member(absl::string_view key) const;
  absl::StatusOr<JsonValue> Object(absl::string_view key) const;
  absl::StatusOr<int64_t> Int(absl::string_view key, IntRange range = {}) const;
  absl::StatusOr<double> Double(absl::string_view key) const;
  absl::StatusOr<bool> Bool(absl::string_view key) const;
  absl::StatusOr<std::string> String(absl::string_view key) const;

  // This value itself, as one of the types.
  absl::StatusOr<int64_t> AsInt(IntRange range = {}) const;
  absl::StatusOr<double> AsDouble() const;
  absl::StatusOr<absl::string_view> AsString() const;
  // Each holds its path, so the count is checked against `elements_max` before any is made.
  absl::StatusOr<std::vector<JsonValue>> AsArray(size_t elements_max = 1 << 24) const;
  // Members in file order; a key that occurs twice is an error.
  absl::StatusOr<std::vector<std::pair<absl::string_view, JsonValue>>> AsMembers() const;

  // "config.json: text_config.hidden_size", for messages.
  std::string Where() const;

 private:
  friend class JsonDocument;
  JsonValue(const void* node, std::string path) : node_(node), path_(std::move(path)) {}
  absl::Status WrongType(absl::string_view expected) const;
  const void* node_;
  std::string path_;
};

class JsonDocument {
 public:
  // `name` stands in error messages. Nesting deeper than 64 and bytes after the value are errors.
  static absl::StatusOr<JsonDocument> Parse(absl::string_view text, absl::string_view name);
  JsonDocument(JsonDocument&&) noexcept;
  ~JsonDocument();
  JsonValue root() const;

 private:
  struct Tree;
  JsonDocument();
  std::unique_ptr<Tree> tree_;
};

}  // namespace cleave
