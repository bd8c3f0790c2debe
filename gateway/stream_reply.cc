#include "gateway/stream_reply.h"

#include <utility>

#include "gateway/request_parse.h"
#include "runtime/rpc/status.h"

namespace cleave {

StreamReply::StreamReply(const ChatBackend& backend, CallInfo info)
    : call_(std::make_shared<ChatCall>(backend, std::move(info), *this)) {}

absl::Status StreamReply::OnEvent(v1::GenerateEvent event) {
  MutexLock lock(mutex_);
  absl::Status status = queue_.Push(std::move(event));
  if (!status.ok()) queue_.Clear();
  if (!writing_) WriteNext();
  return status;
}

void StreamReply::OnEnd(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    end_ = status;
    if (writing_ || WriteNext()) return;  // OnWriteDone finishes
  }
  Finish(ToGrpc(status));
}

bool StreamReply::WriteNext() {
  const std::optional<v1::GenerateEvent> event = queue_.Pop();
  writing_ = event.has_value();
  if (!event) return false;
  current_ = SerializeReply(*event);
  StartWrite(&current_);
  return true;
}

void StreamReply::OnWriteDone(bool ok) {
  absl::Status status;
  {
    MutexLock lock(mutex_);
    if (!ok) queue_.Clear();  // the client is gone; OnCancel ends the call
    if (WriteNext() || !end_) return;
    status = *end_;
  }
  Finish(ToGrpc(status));
}

}  // namespace cleave
