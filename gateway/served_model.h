// The one model that this gateway serves: its name, its tokenizer, its defaults, its limits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/model_defaults.h"
#include "media/media_limits.h"
#include "tokenizer/tokenizer.h"

namespace cleave {

// Of one request, checked before anything is computed. ModelService.GetModel tells them.
struct RequestLimits {
  int messages_max = 1024;
  int parts_per_message_max = 256;
  int64_t text_bytes_max = int64_t{8} << 20;  // messages, thoughts, results, descriptions
  int images_max = 16;
  int audios_max = 16;
  int videos_max = 4;
  int video_frames_max = 1024;         // that one video may bring
  int video_frames_seen_max = 128;     // that the model sees of it
  int64_t video_seconds_max = 86'400;  // the latest time of a frame
  int stop_strings_max = 16;
  int stop_string_bytes_max = 128;
  int stop_ids_max = 16;
  int logit_biases_max = 256;
  int log_probabilities_max = 20;
  int cache_salt_bytes_max = 64;
  int candidates_max = 8;
  int detokenize_ids_max = 1 << 20;
  int tools_max = 128;
  int tool_calls_per_message_max = 128;
  int call_id_bytes_max = 64;
  int64_t schema_bytes_max = int64_t{256} << 10;
  int64_t arguments_bytes_max = int64_t{256} << 10;  // of one call
  int64_t result_json_bytes_max = int64_t{1} << 20;
  int64_t json_bytes_max = int64_t{2} << 20;  // schemas, arguments and JSON results together
  int json_depth_max = 32;
};

// Immutable after creation, so any thread may read it.
struct ServedModel {
  // Reads a checkpoint folder; only the weights are left alone. `name` empty: the folder's own.
  // Fails as Tokenizer::Load and ModelDefaults::Load do, and when the two do not belong together.
  static absl::StatusOr<ServedModel> Load(const std::string& folder, const std::string& name);

  // "" and `name` are this model; NOT_FOUND (MODEL_NOT_SERVED) for any other.
  absl::Status CheckName(absl::string_view requested) const;

  std::string name;
  std::unique_ptr<const Tokenizer> tokenizer;
  ModelDefaults defaults;
  RequestLimits limits;
  MediaLimits media_limits;
  std::string tokenizer_hash;  // XXH3-64 of tokenizer.json, in hex
};

inline constexpr char kTemplateVersion[] = "gemma4-2026-07-09";

}  // namespace cleave
