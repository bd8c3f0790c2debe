// The answer as one message: the fold of the stream's events.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "cleave/v1/chat.pb.h"
#include "gateway/chat_call.h"

namespace cleave {

// Adds what an event tells to the answer. Any client may do the same with a stream.
void Accumulate(const v1::GenerateEvent& event, v1::GenerateResponse& response);

// Deletes itself when the call is done. Its events come one at a time.
class UnaryReply final : public grpc::ServerUnaryReactor, public ReplySink {
 public:
  UnaryReply(const ChatBackend& backend, CallInfo info, grpc::ByteBuffer* response);

  void Start(const grpc::ByteBuffer& request) { call_->Start(request); }

 private:
  absl::Status OnEvent(v1::GenerateEvent event) override;
  void OnEnd(const absl::Status& status) override;
  void OnCancel() override { call_->Cancel(); }
  void OnDone() override { delete this; }

  const std::shared_ptr<ChatCall> call_;  // shared with its generation
  grpc::ByteBuffer* const response_;      // gRPC's, until Finish
  v1::GenerateResponse folded_;
};

}  // namespace cleave
