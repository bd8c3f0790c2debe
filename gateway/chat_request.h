// A request of ChatService, checked and without protobuf.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cleave/v1/chat.pb.h"
#include "gateway/sequence_order.h"
#include "gateway/served_model.h"
#include "gateway/worker.h"
#include "tokenizer/chat_template.h"

namespace cleave {

// A frame of a video that the model sees.
struct VideoFrameInput {
  std::string field;                         // "messages[0].parts[1].video.frames[7].data"
  std::shared_ptr<const std::string> bytes;  // shared with the uploads of this request
  int seconds = 0;                           // from the beginning of the video, rounded down
};

// A file that came with the request, or the frames of a video.
struct MediaInput {
  MediaKind kind;
  std::string field;                         // "messages[0].parts[1].image.data"
  std::shared_ptr<const std::string> bytes;  // shared with the uploads; null for a video
  int image_token_budget = 0;                // of a picture, of each frame
  std::vector<VideoFrameInput> frames;       // of a video, at least one
};

struct ChatRequest {
  Conversation conversation;
  std::vector<MediaInput> media;  // in order of appearance
  bool thinking = false;
  bool preserve_thinking = false;  // show thoughts of earlier tool loops again
  bool include_thoughts = false;   // send the client what the model thinks
  SamplingChoice sampling;
  RulesChoice rules;
  std::optional<uint32_t> log_probabilities;  // likeliest tokens told beside each
  std::optional<int> output_tokens_max;
  int candidates = 1;  // answers
  std::vector<std::string> stop;
  std::vector<TokenId> stop_ids;   // beside the model's own
  std::optional<RouteKind> route;  // absent: the gateway chooses
  std::string cache_salt;          // prompts share KV only with those of the same
  Priority priority = Priority::kNormal;
  bool validate_only = false;
  bool ignore_stop_tokens = false;
};

// Checks everything that can be checked without looking into files or counting tokens, and fills in
// the model's defaults; draws a seed where none is given. Takes the bytes of media out of
// `request`. INVALID_ARGUMENT with the field's path; NOT_FOUND for another model's name.
absl::StatusOr<ChatRequest> ReadChatRequest(v1::GenerateRequest& request, const ServedModel& model);

}  // namespace cleave
