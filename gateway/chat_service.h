// cleave.v1.ChatService. Messages travel as bytes up to ChatCall, which parses them on its own
// threads and can say which text was not UTF-8.
#pragma once

#include "cleave/v1/chat.grpc.pb.h"
#include "gateway/chat_call.h"

namespace cleave {

// Owns nothing; calls keep themselves until they are done. Thread-safe.
class ChatService final
    : public v1::ChatService::WithRawCallbackMethod_Generate<
          v1::ChatService::WithRawCallbackMethod_StreamGenerate<
              v1::ChatService::WithRawCallbackMethod_CountTokens<v1::ChatService::Service>>> {
 public:
  // `backend` outlives the service and every call.
  explicit ChatService(const ChatBackend& backend) : backend_(backend) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* StreamGenerate(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* CountTokens(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;

 private:
  const ChatBackend& backend_;
};

}  // namespace cleave
