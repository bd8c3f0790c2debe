// The answer as a stream of events.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>

#include "gateway/chat_call.h"
#include "gateway/event_queue.h"
#include "runtime/base/mutex.h"

namespace cleave {

// Writes events one at a time, in order; what the client does not read yet waits in a bounded
// queue. Deletes itself when the call is done.
class StreamReply final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public ReplySink {
 public:
  StreamReply(const ChatBackend& backend, CallInfo info);

  void Start(const grpc::ByteBuffer& request) { call_->Start(request); }

 private:
  absl::Status OnEvent(v1::GenerateEvent event) override;
  void OnEnd(const absl::Status& status) override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override { call_->Cancel(); }
  void OnDone() override { delete this; }

  // Starts the next write. False when there is none and the stream is to be finished: by the
  // caller, after it has let the lock go, since Finish may lead to the end of this object.
  bool WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<ChatCall> call_;  // shared with its generation
  Mutex mutex_;
  EventQueue queue_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ByteBuffer current_ ABSL_GUARDED_BY(mutex_);  // gRPC's while writing_
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cleave
