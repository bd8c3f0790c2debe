// A request as both engines see it, and what has been generated for it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "model/model_config.h"
#include "runtime/base/content_hash.h"

namespace cleave {

enum class MediaKind : uint8_t { kImage, kAudio, kVideoFrame };

// Whether its positions see each other, so that they must be computed together.
inline bool IsPicture(MediaKind kind) { return kind != MediaKind::kAudio; }

// Soft tokens of one picture, sound or frame of a video in a prompt.
struct MediaSpan {
  MediaKind kind = MediaKind::kImage;
  int64_t first_position = 0;
  int64_t tokens = 0;
  ContentHash content_hash{};  // of the file
  int image_token_budget = 0;  // for pictures and frames

  int64_t end() const { return first_position + tokens; }
};

// How the next token is chosen; every field is set.
struct SamplingParameters {
  float temperature = 0;  // 0: greedy
  int top_k = 0;          // 0: all
  float top_p = 1;        // 1: all
  float min_p = 0;        // 0: all
  uint64_t seed = 0;
};

// What an engine is asked to generate. Equal requests give equal tokens on any worker.
struct SequenceRequest {
  std::string request_id;  // for logs
  std::vector<int32_t> prompt_ids;
  std::vector<MediaSpan> media;  // ascending, disjoint, inside the prompt
  // Tokens that an earlier worker generated. They are computed like a prompt and count as output.
  std::vector<int32_t> emitted_ids;
  SamplingParameters sampling;
  std::vector<int32_t> stop_ids;
  int64_t output_tokens_max = 0;
  absl::Time deadline = absl::InfiniteFuture();

  // Positions to compute before the first new token.
  int64_t num_positions() const {
    return static_cast<int64_t>(prompt_ids.size() + emitted_ids.size());
  }
  int32_t token_at(int64_t position) const {
    const size_t index = static_cast<size_t>(position);
    return index < prompt_ids.size() ? prompt_ids[index] : emitted_ids[index - prompt_ids.size()];
  }

  // INVALID_ARGUMENT, naming field, limit and value, when a worker of this model cannot compute it.
  absl::Status Validate(const ModelConfig& config, int64_t context_tokens_max) const;
};

enum class FinishCause : uint8_t { kNone, kStopId, kMaxTokens, kContextFull };

// Why an answer whose newest token is `token` and that now has `output_tokens` tokens ends, if it
// does. A pure function of the request, so that every worker agrees. `context_tokens_max` counts
// prompt and answer together.
FinishCause CheckFinish(const SequenceRequest& request, int32_t token, int64_t output_tokens,
                        int64_t context_tokens_max);

}  // namespace cleave
