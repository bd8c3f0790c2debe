// The answer as a stream of events.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "gateway/chat_call.h"
#include "gateway/event_queue.h"
#include "runtime/base/mutex.h"

namespace cleave {

// Writes events one at a time, in order; what the client does not read yet waits in a bounded
// queue. A client that stops reading is cut off some time after the end. Lives until the call is
// done.
class StreamReply final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public ReplySink {
 public:
  StreamReply(const ChatBackend& backend, grpc::CallbackServerContext& context);

  void Start(const grpc::ByteBuffer& request) { call_->Start(request); }

 private:
  absl::Status OnEvent(v1::GenerateEvent event) override;
  void OnEnd(const absl::Status& status) override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override { call_->Cancel(); }
  void OnDone() override;

  // Starts the next write. False when there is none and the stream is to be finished: by the
  // caller, after it has let the lock go, since Finish may lead to the end of this object.
  bool WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The end has come while a write is open: ends the call unless the client goes on reading.
  void WatchReader() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckReader(uint64_t writes_then);

  const ChatBackend& backend_;
  grpc::CallbackServerContext& context_;  // gRPC's, until OnDone
  const std::shared_ptr<ChatCall> call_;  // shared with its generation
  Mutex mutex_;
  // Until OnDone; timers hold it weakly.
  std::shared_ptr<StreamReply> self_ ABSL_GUARDED_BY(mutex_);
  EventQueue queue_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t writes_ ABSL_GUARDED_BY(mutex_) = 0;       // that are done
  grpc::ByteBuffer current_ ABSL_GUARDED_BY(mutex_);  // gRPC's while writing_
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cleave
