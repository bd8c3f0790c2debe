#include "gateway/chat_service.h"

#include <utility>

#include "gateway/request_parse.h"
#include "gateway/stream_reply.h"
#include "gateway/unary_reply.h"
#include "runtime/base/status.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

absl::StatusOr<v1::CountTokensResponse> Count(const grpc::ByteBuffer& bytes,
                                              const ServedModel& model) {
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
  return response;
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
  auto* reply = new StreamReply(backend_, ReadCallInfo(*context));
  reply->Start(*request);
  return reply;
}

grpc::ServerUnaryReactor* ChatService::CountTokens(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  ReadCallInfo(*context);
  // Counts against the same limit as a generation while it runs.
  absl::StatusOr<AdmissionSlot> slot = backend_.admission->Enter();
  if (!slot.ok()) {
    reactor->Finish(ToGrpc(slot.status()));
    return reactor;
  }
  auto held = std::make_shared<AdmissionSlot>(*std::move(slot));  // std::function wants a copy
  backend_.tasks->Add([reactor, response, bytes = *request, held, model = backend_.model] {
    const absl::StatusOr<v1::CountTokensResponse> counted = Count(bytes, *model);
    if (counted.ok()) *response = SerializeReply(*counted);
    held->Release();
    reactor->Finish(ToGrpc(counted.status()));
  });
  return reactor;
}

}  // namespace cleave
