#include "tests/gateway/test_model.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/content_hash.h"

namespace cleave {

std::string TestConfigJson() {
  return absl::StrCat(R"({"model_type":"gemma4_unified","image_token_id":)", IdOf("<|image|>"),
                      R"(,"audio_token_id":)", IdOf("<|audio|>"),
                      R"(,"text_config":{"max_position_embeddings":)", kTestContext,
                      R"(,"vocab_size":512}})");
}

std::string TestGenerationJson() {
  return absl::StrCat(R"({"do_sample":true,"temperature":1.0,"top_k":64,"top_p":0.95,)",
                      R"("eos_token_id":[)", IdOf("<eos>"), ",", IdOf("<turn|>"), "]}");
}

std::string TestProcessorJson() {
  return absl::StrCat(R"({"audio_seq_length":)", kTestAudioTokens,
                      R"(,"feature_extractor":{"sampling_rate":16000},)",
                      R"("image_processor":{"max_soft_tokens":70}})");
}

TestModelFolder::TestModelFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "cleave-test-XXXXXX").string();
  CHECK(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
  Write("config.json", TestConfigJson());
  Write("generation_config.json", TestGenerationJson());
  Write("processor_config.json", TestProcessorJson());
  Write("tokenizer.json", SmallTokenizer().Json());
}

TestModelFolder::~TestModelFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TestModelFolder::Write(absl::string_view file, absl::string_view content) const {
  std::ofstream out(absl::StrCat(path_, "/", file), std::ios::binary);
  out << content;
  CHECK(out.good());
}

void TestModelFolder::Remove(absl::string_view file) const {
  std::filesystem::remove(absl::StrCat(path_, "/", file));
}

ServedModel LoadTestModel() {
  const TestModelFolder folder;
  absl::StatusOr<ServedModel> model = ServedModel::Load(folder.path(), "test-model");
  CHECK(model.ok());
  return *std::move(model);
}

std::string HashOf(absl::string_view bytes) {
  const ContentHash hash = HashContent(bytes);
  return std::string(hash.begin(), hash.end());
}

TokenId IdOf(absl::string_view spelling) {
  static const SmallTokenizer& small = *new SmallTokenizer();
  return small.IdOf(spelling);
}

}  // namespace cleave
