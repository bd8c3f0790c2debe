// A client's GenerateRequest as bytes, up to the prompt that engines see: whatever is refused is
// refused as the client's fault, in typed words.
#include "gateway/request_parse.h"

#include <google/protobuf/stubs/logging.h>

#include <cstdint>

#include "cleave/v1/chat.pb.h"
#include "gateway/chat_request.h"
#include "gateway/prompt_builder.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "tests/gateway/test_model.h"

namespace cleave {
namespace {

absl::Status ReadPrompt(const grpc::ByteBuffer& bytes, const ServedModel& model) {
  v1::GenerateRequest message;
  const absl::Status parsed = ParseRequest(bytes, message);
  if (!parsed.ok()) return parsed;
  const absl::StatusOr<ChatRequest> request = ReadChatRequest(message, model);
  if (!request.ok()) return request.status();
  const absl::StatusOr<Prompt> prompt = BuildPrompt(*request, model);
  if (!prompt.ok()) return prompt.status();
  CHECK(!prompt->ids.empty());
  int64_t end = 0;
  for (const MediaItem& item : prompt->media) {
    CHECK(item.first >= end && item.tokens > 0);
    end = item.first + item.tokens;
  }
  CHECK(end <= static_cast<int64_t>(prompt->ids.size()));
  return OutputTokensMax(*request, *prompt, model.defaults.context_tokens_max).status();
}

}  // namespace
}  // namespace cleave

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cleave::ServedModel& model = *new cleave::ServedModel(cleave::LoadTestModel());
  google::protobuf::SetLogHandler(nullptr);  // it complains of every string that is not UTF-8
  const grpc::Slice slice(data, size);
  const absl::Status status = cleave::ReadPrompt(grpc::ByteBuffer(&slice, 1), model);
  if (status.ok()) return 0;
  CHECK(absl::IsInvalidArgument(status) || absl::IsNotFound(status));
  CHECK(cleave::GetReason(status) != cleave::Reason::kUnspecified);
  return 0;
}
