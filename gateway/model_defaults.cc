#include "gateway/model_defaults.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "media/audio_probe.h"
#include "media/image_size.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr char kModelType[] = "gemma4_unified";
constexpr IntRange kTokens{1, 1 << 22};
constexpr int kAudioTokensDefault = 750;  // 30 s

absl::Status ReadConfig(const JsonValue& root, ModelDefaults& defaults) {
  ASSIGN_OR_RETURN(const std::string type, root.String("model_type"));
  if (type != kModelType) {
    return absl::InvalidArgumentError(absl::StrCat(root.Where(), " model_type is \"", type,
                                                   "\", served is \"", kModelType, "\""));
  }
  ASSIGN_OR_RETURN(const JsonValue text, root.Object("text_config"));
  ASSIGN_OR_RETURN(const int64_t positions, text.Int("max_position_embeddings", kTokens));
  ASSIGN_OR_RETURN(const int64_t vocabulary, text.Int("vocab_size", kTokens));
  ASSIGN_OR_RETURN(const int64_t image, root.Int("image_token_id", {0, vocabulary - 1}));
  ASSIGN_OR_RETURN(const int64_t audio, root.Int("audio_token_id", {0, vocabulary - 1}));
  defaults.context_tokens_max = static_cast<int>(positions);
  defaults.vocabulary_size = static_cast<int>(vocabulary);
  defaults.image_soft_id = static_cast<TokenId>(image);
  defaults.audio_soft_id = static_cast<TokenId>(audio);
  return absl::OkStatus();
}

// One id, or a list of them.
absl::Status ReadStopIds(const JsonValue& root, ModelDefaults& defaults) {
  ASSIGN_OR_RETURN(const JsonValue value, root.Member("eos_token_id"));
  std::vector<JsonValue> values{value};
  if (value.IsArray()) {
    ASSIGN_OR_RETURN(values, value.AsArray(static_cast<size_t>(defaults.vocabulary_size)));
  }
  for (const JsonValue& id : values) {
    ASSIGN_OR_RETURN(const int64_t number, id.AsInt({0, defaults.vocabulary_size - 1}));
    defaults.stop_ids.push_back(static_cast<TokenId>(number));
  }
  return absl::OkStatus();
}

absl::Status ReadGeneration(const JsonValue& root, ModelDefaults& defaults) {
  RETURN_IF_ERROR(ReadStopIds(root, defaults));
  bool samples = false;  // as the reference, for checkpoints that do not say
  double temperature = 1, top_p = 1;
  int64_t top_k = 0;
  if (root.Has("do_sample")) {
    ASSIGN_OR_RETURN(samples, root.Bool("do_sample"));
  }
  if (root.Has("temperature")) {
    ASSIGN_OR_RETURN(temperature, root.Double("temperature"));
  }
  if (root.Has("top_k")) {
    ASSIGN_OR_RETURN(top_k, root.Int("top_k", {0, 1 << 30}));
  }
  if (root.Has("top_p")) {
    ASSIGN_OR_RETURN(top_p, root.Double("top_p"));
  }
  if (!(temperature >= 0 && temperature <= 2) || !(top_p > 0 && top_p <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(root.Where(), " temperature ", temperature,
                                                   " or top_p ", top_p, " is out of range"));
  }
  defaults.temperature = samples ? static_cast<float>(temperature) : 0;
  defaults.top_k = static_cast<uint32_t>(top_k);
  defaults.top_p = static_cast<float>(top_p);
  return absl::OkStatus();
}

absl::Status ReadProcessor(const JsonValue& root, ModelDefaults& defaults) {
  defaults.image_token_budget = kImageBudgetDefault;
  if (root.Has("image_processor")) {
    ASSIGN_OR_RETURN(const JsonValue images, root.Object("image_processor"));
    if (images.Has("max_soft_tokens")) {
      ASSIGN_OR_RETURN(const int64_t budget, images.Int("max_soft_tokens", kTokens));
      defaults.image_token_budget = static_cast<int>(budget);
    }
  }
  if (std::find(std::begin(kImageBudgets), std::end(kImageBudgets), defaults.image_token_budget) ==
      std::end(kImageBudgets)) {
    return absl::InvalidArgumentError(
        absl::StrCat(root.Where(), " image_processor.max_soft_tokens is ",
                     defaults.image_token_budget, ", allowed are 70, 140, 280, 560 and 1120"));
  }
  defaults.audio_tokens_max = kAudioTokensDefault;
  if (root.Has("audio_seq_length")) {
    ASSIGN_OR_RETURN(const int64_t audio_tokens, root.Int("audio_seq_length", kTokens));
    defaults.audio_tokens_max = static_cast<int>(audio_tokens);
  }
  if (!root.Has("feature_extractor")) return absl::OkStatus();
  ASSIGN_OR_RETURN(const JsonValue sounds, root.Object("feature_extractor"));
  if (!sounds.Has("sampling_rate")) return absl::OkStatus();
  return sounds.Int("sampling_rate", {kAudioSampleRate, kAudioSampleRate}).status();
}

}  // namespace

absl::StatusOr<ModelDefaults> ModelDefaults::Parse(absl::string_view config_json,
                                                   absl::string_view generation_json,
                                                   absl::string_view processor_json,
                                                   absl::string_view folder) {
  ModelDefaults defaults{};
  ASSIGN_OR_RETURN(const JsonDocument config,
                   JsonDocument::Parse(config_json, absl::StrCat(folder, "/config.json")));
  RETURN_IF_ERROR(ReadConfig(config.root(), defaults));
  ASSIGN_OR_RETURN(
      const JsonDocument generation,
      JsonDocument::Parse(generation_json, absl::StrCat(folder, "/generation_config.json")));
  RETURN_IF_ERROR(ReadGeneration(generation.root(), defaults));
  ASSIGN_OR_RETURN(
      const JsonDocument processor,
      JsonDocument::Parse(processor_json, absl::StrCat(folder, "/processor_config.json")));
  RETURN_IF_ERROR(ReadProcessor(processor.root(), defaults));
  return defaults;
}

absl::StatusOr<ModelDefaults> ModelDefaults::Load(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string config, ReadFile(folder + "/config.json"));
  ASSIGN_OR_RETURN(const std::string generation, ReadFile(folder + "/generation_config.json"));
  absl::StatusOr<std::string> processor = ReadFile(folder + "/processor_config.json");
  if (absl::IsNotFound(processor.status())) processor = "{}";
  RETURN_IF_ERROR(processor.status());
  return Parse(config, generation, *processor, folder);
}

absl::Status ModelDefaults::CheckVocabulary(const Vocabulary& vocabulary) const {
  if (vocabulary.size() > vocabulary_size) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json has ", vocabulary.size(),
                                                   " tokens, config.json vocab_size ",
                                                   vocabulary_size));
  }
  const SpecialTokens& special = vocabulary.special();
  if (special.image_soft != image_soft_id || special.audio_soft != audio_soft_id) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the tokenizer has ", special.image_soft, " for a picture and ", special.audio_soft,
        " for a sound, config.json ", image_soft_id, " and ", audio_soft_id));
  }
  for (const TokenId id : stop_ids) {
    if (!vocabulary.Contains(id)) {
      return absl::InvalidArgumentError(
          absl::StrCat("generation_config.json: eos_token_id ", id, " is not in tokenizer.json"));
    }
  }
  return absl::OkStatus();
}

}  // namespace cleave
