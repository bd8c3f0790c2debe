#include "gateway/token_service.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/pool_call.h"
#include "gateway/request_parse.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "tokenizer/stream_detokenizer.h"

namespace cleave {
namespace {

template <typename Request, typename Response>
absl::StatusOr<grpc::ByteBuffer> Answer(const grpc::ByteBuffer& bytes, const ServedModel& model,
                                        absl::StatusOr<Response> (*compute)(const Request&,
                                                                            const ServedModel&)) {
  Request request;
  RETURN_IF_ERROR(ParseRequest(bytes, request));
  ASSIGN_OR_RETURN(const Response response, compute(request, model));
  return SerializeReply(response);
}

}  // namespace

absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request,
                                              const ServedModel& model) {
  RETURN_IF_ERROR(model.CheckName(request.model()));
  const auto bytes = static_cast<int64_t>(request.text().size());
  if (bytes > model.limits.text_bytes_max) {
    return InvalidField(Reason::kFieldInvalid, "text",
                        absl::StrCat("at most ", model.limits.text_bytes_max, " bytes"),
                        absl::StrCat(bytes, " bytes"));
  }
  RETURN_IF_ERROR(CheckUtf8(request.text(), "text"));
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids,
                   model.tokenizer->Encode(request.text(), request.match_control_tokens()));
  v1::TokenizeResponse response;
  response.mutable_ids()->Add(ids.begin(), ids.end());
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request,
                                                  const ServedModel& model) {
  RETURN_IF_ERROR(model.CheckName(request.model()));
  if (request.ids_size() > model.limits.detokenize_ids_max) {
    return InvalidField(Reason::kFieldInvalid, "ids",
                        absl::StrCat("at most ", model.limits.detokenize_ids_max),
                        absl::StrCat(request.ids_size()));
  }
  const Vocabulary& vocabulary = model.tokenizer->vocabulary();
  for (int i = 0; i < request.ids_size(); ++i) {
    if (vocabulary.Contains(request.ids(i))) continue;
    return InvalidField(Reason::kFieldInvalid, absl::StrCat("ids[", i, "]"),
                        absl::StrCat("0 to ", vocabulary.size() - 1), absl::StrCat(request.ids(i)));
  }
  const std::vector<TokenId> ids(request.ids().begin(), request.ids().end());
  v1::DetokenizeResponse response;
  ASSIGN_OR_RETURN(*response.mutable_text(),
                   Detokenize(vocabulary, ids, request.skip_control_tokens()));
  return response;
}

grpc::ServerUnaryReactor* TokenService::Tokenize(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) {
  return AnswerOnPool(
      *context, *request, *response, admission_, tasks_,
      [this](const grpc::ByteBuffer& bytes) { return Answer(bytes, model_, &cleave::Tokenize); });
}

grpc::ServerUnaryReactor* TokenService::Detokenize(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  return AnswerOnPool(*context, *request, *response, admission_, tasks_,
                      [this](const grpc::ByteBuffer& bytes) {
                        return Answer<v1::DetokenizeRequest, v1::DetokenizeResponse>(
                            bytes, model_, &cleave::Detokenize);
                      });
}

}  // namespace cleave
