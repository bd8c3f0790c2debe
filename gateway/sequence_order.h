// What the gateway orders from its workers: one request, as engines see it. Plain values; the
// gateway keeps an order until the request ends, because it is all that a replay needs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "runtime/base/priority.h"
#include "tokenizer/chat_template.h"

namespace cleave {

// A picture, a sound or a frame of a video in the prompt.
struct MediaItem {
  MediaKind kind;
  int64_t first = 0;                         // position of its first soft token
  int tokens = 0;                            // soft tokens
  int image_token_budget = 0;                // of a picture or a frame, else 0
  std::string content_hash;                  // XXH3-128 of the bytes, 16 bytes, big-endian
  std::shared_ptr<const std::string> bytes;  // shared with uploads that are still under way
  std::string field;                         // where it stands in the request, for errors
};

// Everything is set: defaults are filled in, the seed is pinned.
struct SamplingChoice {
  float temperature = 0;  // 0: greedy
  uint32_t top_k = 0;     // 0: all
  float top_p = 1;        // 1: all
  float min_p = 0;        // 0: all
  uint64_t seed = 0;
};

// What is changed about logits before a token is chosen. These defaults change nothing.
struct RulesChoice {
  std::vector<std::pair<TokenId, float>> bias;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint32_t output_tokens_min = 0;
  std::optional<uint32_t> thought_tokens_max;  // of all thoughts together
  // Set with the budget: the marks of a thought, and whether the prompt ends inside one.
  TokenId thought_begin_id = 0;
  TokenId thought_end_id = 0;
  bool starts_in_thought = false;

  friend bool operator==(const RulesChoice&, const RulesChoice&) = default;
};

struct SequenceOrder {
  std::vector<TokenId> prompt_ids;
  std::vector<MediaItem> media;      // ascending by position
  std::vector<TokenId> emitted_ids;  // the answer so far; empty with several candidates
  SamplingChoice sampling;
  RulesChoice rules;
  std::optional<uint32_t> log_probabilities;
  std::vector<TokenId> stop_ids;
  int output_tokens_max = 1;  // of each answer, emitted_ids included
  int candidates = 1;         // answers
  std::vector<int64_t> cache_boundaries;
  std::string cache_salt;
  Priority priority = Priority::kNormal;
  bool local = false;              // the decode worker computes the prompt too
  std::optional<uint64_t> ticket;  // of the try before, while the decode worker has it
  absl::Duration age;              // of the request when it is sent
  std::string request_id;          // for logs
};

enum class EndCause {
  kNone,  // goes on
  kStopId,
  kMaxTokens,
  kContextFull,
  kStopString,  // the gateway's own
};

// Where the time went on the prefill worker, and how many tokens of the prompt it had kept.
struct PrefillPhases {
  absl::Duration queue, media, prefill, grant_wait;
  int64_t cached_tokens = 0;
};

// The same on the decode worker.
struct DecodePhases {
  absl::Duration handover, decode;
};

}  // namespace cleave
