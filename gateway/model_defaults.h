// What the gateway needs to know of the checkpoint: the defaults of a request and the ids that end
// an answer. From config.json, generation_config.json and, if there is one, processor_config.json.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

struct ModelDefaults {
  // NOT_FOUND when one of the first two files is missing; INVALID_ARGUMENT, naming file and field,
  // when one is not what Gemma 4 Unified writes.
  static absl::StatusOr<ModelDefaults> Load(const std::string& folder);
  // The same from texts; `folder` stands in messages. What processor_json ("{}" for none) leaves
  // out is as the reference's processor has it.
  static absl::StatusOr<ModelDefaults> Parse(absl::string_view config_json,
                                             absl::string_view generation_json,
                                             absl::string_view processor_json,
                                             absl::string_view folder);

  // INVALID_ARGUMENT when the folder's tokenizer belongs to another model: other ids for media, or
  // ids beyond the model's table.
  absl::Status CheckVocabulary(const Vocabulary& vocabulary) const;

  float temperature;  // 0 when the checkpoint says do_sample: false
  uint32_t top_k;     // 0: all
  float top_p;        // 1: all
  std::vector<TokenId> stop_ids;
  int context_tokens_max;  // positions the model was made for
  int vocabulary_size;     // rows of the embedding table
  TokenId image_soft_id;
  TokenId audio_soft_id;
  int image_token_budget;
  int audio_tokens_max;  // of one sound
};

}  // namespace cleave
