// A request as both engines see it, and what has been generated for it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "model/model_config.h"
#include "runtime/base/content_hash.h"
#include "runtime/base/priority.h"

namespace cleave {

inline constexpr int kCandidatesMax = 8;

enum class SoftKind : uint8_t { kImage, kAudio, kVideoFrame };

// Whether its positions see each other, so that they must be computed together.
inline bool IsPicture(SoftKind kind) { return kind != SoftKind::kAudio; }

// Soft tokens of one picture, sound or frame of a video in a prompt.
struct SoftSpan {
  SoftKind kind = SoftKind::kImage;
  int64_t first_position = 0;
  int64_t tokens = 0;
  ContentHash content_hash{};  // of the file
  int image_token_budget = 0;  // for pictures and frames

  int64_t end() const { return first_position + tokens; }

  friend bool operator==(const SoftSpan&, const SoftSpan&) = default;
};

// How the next token is chosen; every field is set.
struct SamplingParameters {
  float temperature = 0;  // 0: greedy
  int top_k = 0;          // 0: all
  float top_p = 1;        // 1: all
  float min_p = 0;        // 0: all
  uint64_t seed = 0;
};

// What a request changes about logits; see LogitRules. These defaults change nothing.
struct LogitRuleParameters {
  std::vector<std::pair<int32_t, float>> logit_bias;  // token, what is added; tokens differ
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  int64_t output_tokens_min = 0;
  int64_t thought_tokens_max = -1;  // of all thoughts, marks not counted; -1: no limit
  int32_t thought_begin_id = -1;    // the marks of a thought
  int32_t thought_end_id = -1;
  bool starts_in_thought = false;  // the prompt ends inside one
};

// What an engine is asked to generate. Equal requests give equal tokens on any worker.
struct SequenceRequest {
  std::string request_id;  // for logs
  std::vector<int32_t> prompt_ids;
  std::vector<SoftSpan> media;  // ascending, disjoint, inside the prompt
  // Tokens that an earlier worker generated. They are computed like a prompt and count as output.
  // Empty with several candidates.
  std::vector<int32_t> emitted_ids;
  int candidates = 1;  // answers, 1 to kCandidatesMax; answer i is drawn with the noise of i
  SamplingParameters sampling;
  LogitRuleParameters rules;
  int log_probabilities = -1;  // how many of the likeliest are told beside the chosen; -1: none
  std::vector<int32_t> stop_ids;
  int64_t output_tokens_max = 0;
  // Ends of beginnings of the prompt that later prompts may share, ascending; see PrefixCache.
  std::vector<int64_t> cache_boundaries;
  std::string cache_salt;  // prompts share only with those of the same salt
  Priority priority = Priority::kNormal;
  absl::Time accepted = absl::InfinitePast();  // by the gateway, by this worker's clock
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

// Cancelled: the gateway needs no more of it, and is told nothing.
enum class FinishCause : uint8_t { kNone, kStopId, kMaxTokens, kContextFull, kCancelled };

// Why an answer whose newest token is `token` and that now has `output_tokens` tokens ends, if it
// does. A pure function of the request, so that every worker agrees. `context_tokens_max` counts
// prompt and answer together.
FinishCause CheckFinish(const SequenceRequest& request, int32_t token, int64_t output_tokens,
                        int64_t context_tokens_max);

}  // namespace cleave
