// From a checked request to the prompt that engines see. Pure functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/chat_request.h"
#include "gateway/sequence_order.h"
#include "gateway/served_model.h"

namespace cleave {

struct Prompt {
  std::vector<TokenId> ids;
  std::vector<MediaItem> media;  // ascending by position
  int image_tokens = 0;          // soft tokens
  int audio_tokens = 0;
  int video_tokens = 0;
  bool ends_in_thought = false;  // the answer starts inside a thought
  // Ends of beginnings that later prompts are likely to share, ascending: that of the first turn
  // (tools and system message), and where the last complete turn ends. The generation prompt is no
  // part of it: the next turn's history shows an answer without its thought.
  std::vector<int64_t> cache_boundaries;
};

// Reads the headers of media, counts their tokens, prints the conversation, encodes it. What users
// and earlier answers wrote never becomes a control token. INVALID_ARGUMENT with the field's path
// for files that cannot be read or are beyond the model's limits.
absl::StatusOr<Prompt> BuildPrompt(const ChatRequest& request, const ServedModel& model);

// Tokens that the answer may have: what was asked for, or what the context leaves.
// INVALID_ARGUMENT (CONTEXT_TOO_LONG), naming the counts, when the context leaves none, or less
// than asked for; (FIELD_INVALID) when min_output_tokens is more.
absl::StatusOr<int> OutputTokensMax(const ChatRequest& request, const Prompt& prompt,
                                    int context_tokens_max);

}  // namespace cleave
