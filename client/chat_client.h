// The C++ client of a gateway.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cleave/v1/chat.grpc.pb.h"
#include "cleave/v1/model.grpc.pb.h"

namespace cleave {

// One question. What is absent is the server's default.
struct AskOptions {
  // A conversation so far, and anything else that a request may say. What is given below is put on
  // top: other values replace its own, the question is a last message of the user.
  v1::GenerateRequest base;
  std::optional<std::string> text;  // absent: `base` holds the question
  std::string system;               // empty: none
  std::vector<std::string> images;  // JPEG, PNG, WebP or GIF files, their bytes
  std::vector<std::string> audios;  // WAV, FLAC, Ogg or MP3 files
  std::vector<std::string> frames;  // of one video, in order: picture files
  std::optional<double> fps;        // of these frames
  std::vector<std::string> stop;
  std::optional<uint32_t> max_output_tokens;
  std::optional<uint32_t> candidates;
  std::optional<float> temperature;
  std::optional<uint32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<uint32_t> thinking_budget_tokens;
  std::optional<uint32_t> min_output_tokens;
  std::optional<uint32_t> log_probabilities;
  std::optional<uint64_t> seed;
  std::optional<uint32_t> image_token_budget;
  bool think = false;  // and send the thoughts
  std::optional<v1::Route> route;
  std::optional<v1::Priority> priority;
  std::vector<v1::Tool> tools;
  bool validate_only = false;
  absl::Duration timeout = absl::InfiniteDuration();
  std::string request_id;  // see CheckRequestId; empty: the server draws one
};

// What came of one candidate.
struct AskAnswer {
  std::string text;
  std::string thought;
  std::vector<v1::ToolCall> tool_calls;
  v1::Finished finished;
};

// The answer to a question: that of candidate 0, and those of others where they were asked for.
struct AskResult : AskAnswer {
  std::vector<AskAnswer> others;  // candidates 1, 2, ...
  v1::Started started;
  v1::Summary summary;
  std::string request_id;  // as the server echoed it
};

// That of a candidate, empty where nothing of it came yet.
AskAnswer& AnswerOf(uint32_t candidate, AskResult& result);
// Adds what an event tells to the result.
void Fold(const v1::GenerateEvent& event, AskResult& result);

// INVALID_ARGUMENT unless `id` is empty or valid (runtime/rpc/request_id.h).
absl::Status CheckRequestId(absl::string_view id);

// The message that Ask sends: pictures, sounds, the video, then the text, as the model was trained
// to read.
v1::GenerateRequest MakeRequest(const AskOptions& options);

// Thread-safe; each call blocks its thread. Errors are the server's, with what
// runtime/base/error.h tells of them; UNAVAILABLE when it cannot be reached.
class ChatClient {
 public:
  // `address`: host:port. Connects with the first call.
  explicit ChatClient(const std::string& address);

  // Calls `on_event` for every event of the answer, in order, and returns them folded. DATA_LOSS
  // when the stream ends without a summary or an event is missing.
  absl::StatusOr<AskResult> Ask(const AskOptions& options,
                                const std::function<void(const v1::GenerateEvent&)>& on_event);
  absl::StatusOr<v1::Model> GetModel(absl::Duration timeout);
  // True when the gateway serves: what grpc.health.v1 says.
  absl::StatusOr<bool> IsServing(absl::Duration timeout);

 private:
  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ChatService::Stub> chat_;
  const std::unique_ptr<v1::ModelService::Stub> models_;
};

// "FIELD_INVALID: messages[0].parts[0].text: ...": one line with all that the error tells.
std::string DescribeError(const absl::Status& status);

}  // namespace cleave
