// The messages of a request.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cleave/v1/chat.pb.h"
#include "gateway/chat_request.h"
#include "gateway/field_reader.h"

namespace cleave {

// A picture's token budget, one of those that the model knows.
absl::StatusOr<int> ReadImageBudget(absl::string_view field, uint32_t budget);

// Reads messages one by one into a ChatRequest. Every error is INVALID_ARGUMENT with the field's
// path. Takes the bytes of media and of texts out of the messages. Not thread-safe.
class MessageReader {
 public:
  // All must outlive the reader. `image_token_budget`: for pictures that name none.
  MessageReader(const RequestLimits& limits, int image_token_budget, FieldReader& fields,
                ChatRequest& out)
      : limits_(limits), image_token_budget_(image_token_budget), fields_(fields), out_(out) {}

  absl::Status Read(int index, v1::Message& message);
  // After the last message: every call has its result.
  absl::Status Finish() const;

 private:
  // A call of the last message of the model, until its result has come.
  struct OpenCall {
    std::string field;
    std::string id;
    std::string name;
    bool is_answered = false;
  };

  absl::Status ReadParts(const std::string& path, v1::Message& message, Message& read);
  absl::Status ReadAnswer(const std::string& path, v1::Message& message, Message& read);
  absl::StatusOr<ToolCall> ReadToolCall(const std::string& path, const v1::ToolCall& call);
  absl::Status ReadToolMessage(const std::string& path, v1::Message& message, Message& read);
  absl::Status ReadResult(const std::string& path, v1::ToolResult& result, Message& read);
  absl::StatusOr<Json> ReadResultValue(const std::string& path, v1::ToolResult& result);
  // A text or media; `allowed` names what may stand here, for messages.
  absl::StatusOr<Part> ReadPart(const std::string& path, absl::string_view allowed, v1::Part& part);
  absl::StatusOr<Part> ReadImage(const std::string& field, v1::Image& image);
  absl::StatusOr<Part> ReadAudio(const std::string& field, v1::Audio& audio);
  absl::StatusOr<Part> AddVideo(const std::string& field, v1::Video& video);
  void Keep(MediaKind kind, const std::string& field, std::string& bytes, int budget);

  const RequestLimits& limits_;
  const int image_token_budget_;
  FieldReader& fields_;
  ChatRequest& out_;
  std::vector<OpenCall> calls_;
  int images_ = 0;
  int audios_ = 0;
  int videos_ = 0;
};

}  // namespace cleave
