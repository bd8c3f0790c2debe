// A checkpoint folder without weights, whose tokenizer is the small one of the tokenizer's tests.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "gateway/served_model.h"
#include "tests/tokenizer/small_tokenizer.h"

namespace cleave {

inline constexpr int kTestContext = 512;
inline constexpr int kTestAudioTokens = 50;  // 2 s

// What the three files say; ids are the small tokenizer's.
std::string TestConfigJson();
std::string TestGenerationJson();
std::string TestProcessorJson();

// Writes config.json, generation_config.json, processor_config.json and tokenizer.json into a new
// folder that is removed with the object.
class TestModelFolder {
 public:
  TestModelFolder();
  ~TestModelFolder();
  const std::string& path() const { return path_; }
  void Write(absl::string_view file, absl::string_view content) const;
  void Remove(absl::string_view file) const;

 private:
  std::string path_;
};

// Of such a folder.
ServedModel LoadTestModel();

// The content hash of a file as it stands in messages.
std::string HashOf(absl::string_view bytes);

// The id of a piece of the small tokenizer.
TokenId IdOf(absl::string_view spelling);

}  // namespace cleave
