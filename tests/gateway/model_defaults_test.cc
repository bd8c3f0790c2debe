#include "gateway/model_defaults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "tests/gateway/test_model.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ModelDefaultsTest, ReadsTheThreeFiles) {
  const auto defaults =
      ModelDefaults::Parse(TestConfigJson(), TestGenerationJson(), TestProcessorJson(), "folder");
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->temperature, 1.0f);
  EXPECT_EQ(defaults->top_k, 64u);
  EXPECT_EQ(defaults->top_p, 0.95f);
  EXPECT_THAT(defaults->stop_ids, ElementsAre(IdOf("<eos>"), IdOf("<turn|>")));
  EXPECT_EQ(defaults->context_tokens_max, kTestContext);
  EXPECT_EQ(defaults->image_token_budget, 70);
  EXPECT_EQ(defaults->audio_tokens_max, kTestAudioTokens);
}

TEST(ModelDefaultsTest, NoSamplingIsGreedy) {
  const auto defaults = ModelDefaults::Parse(
      TestConfigJson(), R"({"do_sample":false,"eos_token_id":1})", TestProcessorJson(), "folder");
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->temperature, 0.0f);
  EXPECT_THAT(defaults->stop_ids, ElementsAre(1));
}

TEST(ModelDefaultsTest, AFileThatDoesNotSayIsGreedyAsTheReferenceIs) {
  const auto defaults = ModelDefaults::Parse(TestConfigJson(), R"({"top_k":64,"eos_token_id":1})",
                                             TestProcessorJson(), "folder");
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->temperature, 0.0f);
}

TEST(ModelDefaultsTest, AProcessorThatSaysNothingIsAsTheReferenceHasIt) {
  for (const char* processor :
       {"{}", R"({"image_processor":{},"feature_extractor":{}})", R"({"audio_seq_length":null})"}) {
    const auto defaults =
        ModelDefaults::Parse(TestConfigJson(), TestGenerationJson(), processor, "folder");
    ASSERT_TRUE(defaults.ok()) << defaults.status();
    EXPECT_EQ(defaults->image_token_budget, 280);
    EXPECT_EQ(defaults->audio_tokens_max, 750);
  }
}

TEST(ModelDefaultsTest, AnotherArchitectureIsNamed) {
  const auto defaults =
      ModelDefaults::Parse(absl::StrReplaceAll(TestConfigJson(), {{"gemma4_unified", "llama"}}),
                           TestGenerationJson(), TestProcessorJson(), "folder");
  EXPECT_THAT(std::string(defaults.status().message()),
              HasSubstr("folder/config.json: model_type is \"llama\""));
}

TEST(ModelDefaultsTest, OddValuesAreRefused) {
  EXPECT_FALSE(
      ModelDefaults::Parse(TestConfigJson(), R"({"eos_token_id":99999})", TestProcessorJson(), "f")
          .ok());
  EXPECT_FALSE(ModelDefaults::Parse(TestConfigJson(), R"({"eos_token_id":1,"top_p":0})",
                                    TestProcessorJson(), "f")
                   .ok());
  EXPECT_FALSE(ModelDefaults::Parse(TestConfigJson(), TestGenerationJson(),
                                    absl::StrReplaceAll(TestProcessorJson(), {{":70", ":71"}}), "f")
                   .ok());
  EXPECT_FALSE(ModelDefaults::Parse(TestConfigJson(), TestGenerationJson(),
                                    absl::StrReplaceAll(TestProcessorJson(), {{"16000", "8000"}}),
                                    "f")
                   .ok());
  EXPECT_FALSE(ModelDefaults::Parse("{", TestGenerationJson(), TestProcessorJson(), "f").ok());
}

TEST(ServedModelTest, AFolderWithoutAFileIsOneClearError) {
  for (const char* file : {"config.json", "generation_config.json", "tokenizer.json"}) {
    const TestModelFolder folder;
    folder.Remove(file);
    const absl::Status status = ServedModel::Load(folder.path(), "").status();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(file));
  }
}

TEST(ServedModelTest, AFolderWithoutAProcessorIsServed) {
  const TestModelFolder folder;
  folder.Remove("processor_config.json");
  const absl::StatusOr<ServedModel> model = ServedModel::Load(folder.path(), "");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->media_limits.audio_seconds_max, 30);
}

TEST(ServedModelTest, ATokenizerOfAnotherModelIsRefused) {
  const TestModelFolder folder;
  SmallTokenizer other;
  other.pieces.push_back("x");  // shifts every id after it
  folder.Write("tokenizer.json", other.Json());
  const absl::Status status = ServedModel::Load(folder.path(), "").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("for a picture"));
}

TEST(ServedModelTest, IsNamedAfterItsFolder) {
  const TestModelFolder folder;
  const absl::StatusOr<ServedModel> model = ServedModel::Load(folder.path() + "/", "");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name, folder.path().substr(folder.path().rfind('/') + 1));
  EXPECT_EQ(model->tokenizer_hash.size(), 16u);
  EXPECT_EQ(model->media_limits.audio_seconds_max, 2);
}

}  // namespace
}  // namespace cleave
