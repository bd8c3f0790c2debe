#include "gateway/served_model.h"

#include <xxhash.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "media/audio_probe.h"
#include "runtime/base/error.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr size_t kTokenizerBytesMax = size_t{256} << 20;

// The last component of a path, however it is written: "models/gemma/" is "gemma", "." is the name
// of the current folder.
std::string FolderName(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::path path = std::filesystem::weakly_canonical(folder, ignored);
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string();
}

}  // namespace

absl::StatusOr<ServedModel> ServedModel::Load(const std::string& folder, const std::string& name) {
  ServedModel model;
  model.name = name.empty() ? FolderName(folder) : name;
  ASSIGN_OR_RETURN(model.defaults, ModelDefaults::Load(folder));
  ASSIGN_OR_RETURN(std::string json, ReadFile(folder + "/tokenizer.json", kTokenizerBytesMax));
  model.tokenizer_hash = absl::StrFormat("%016x", XXH3_64bits(json.data(), json.size()));
  ASSIGN_OR_RETURN(const std::string config, ReadTokenizerConfig(folder));
  ASSIGN_OR_RETURN(model.tokenizer,
                   Tokenizer::Create(std::move(json), config, folder + "/tokenizer.json"));
  const absl::Status fits = model.defaults.CheckVocabulary(model.tokenizer->vocabulary());
  if (!fits.ok()) return absl::InvalidArgumentError(absl::StrCat(folder, ": ", fits.message()));
  const int64_t samples = int64_t{model.defaults.audio_tokens_max} * kAudioFrameSamples;
  model.media_limits.audio_seconds_max =
      std::clamp<int64_t>(samples / kAudioSampleRate, 1, kAudioSecondsHardMax);
  RETURN_IF_ERROR(ValidateMediaLimits(model.media_limits));
  return model;
}

absl::Status ServedModel::CheckName(absl::string_view requested) const {
  if (requested.empty() || requested == name) return absl::OkStatus();
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat("model \"", requested.substr(0, 128), "\" is not served here; \"",
                                name, "\" is"),
                   {.reason = Reason::kModelNotServed,
                    .field = "model",
                    .limit = name,
                    .actual = std::string(requested.substr(0, 128)),
                    .retry_after = std::nullopt});
}

}  // namespace cleave
