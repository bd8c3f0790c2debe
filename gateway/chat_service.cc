#include "gateway/chat_service.h"

#include "gateway/pool_call.h"
#include "gateway/request_parse.h"
#include "gateway/stream_reply.h"
#include "gateway/unary_reply.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::StatusOr<grpc::ByteBuffer> Count(const grpc::ByteBuffer& bytes, const ServedModel& model) {
  v1::CountTokensRequest message;
  RETURN_IF_ERROR(ParseRequest(bytes, message));
  absl::StatusOr<ChatRequest> request = ReadChatRequest(*message.mutable_request(), model);
  if (!request.ok()) return PrefixField(request.status(), "request");
  const absl::StatusOr<Prompt> prompt = BuildPrompt(*request, model);
  if (!prompt.ok()) return PrefixField(prompt.status(), "request");
  v1::CountTokensResponse response;
  response.mutable_usage()->set_prompt_tokens(static_cast<uint32_t>(prompt->ids.size()));
  response.mutable_usage()->set_image_tokens(static_cast<uint32_t>(prompt->image_tokens));
  response.mutable_usage()->set_audio_tokens(static_cast<uint32_t>(prompt->audio_tokens));
  response.mutable_usage()->set_video_tokens(static_cast<uint32_t>(prompt->video_tokens));
  return SerializeReply(response);
}

}  // namespace

grpc::ServerUnaryReactor* ChatService::Generate(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* request,
                                                grpc::ByteBuffer* response) {
  auto* reply = new UnaryReply(backend_, ReadCallInfo(*context), response);
  reply->Start(*request);
  return reply;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ChatService::StreamGenerate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  auto* reply = new StreamReply(backend_, *context);
  reply->Start(*request);
  return reply;
}

grpc::ServerUnaryReactor* ChatService::CountTokens(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  return AnswerOnPool(
      *context, *request, *response, *backend_.admission, *backend_.tasks,
      [model = backend_.model](const grpc::ByteBuffer& bytes) { return Count(bytes, *model); });
}

}  // namespace cleave
