#include "gateway/stream_reply.h"

#include <utility>

#include "gateway/call_info.h"
#include "gateway/request_parse.h"
#include "runtime/rpc/status.h"

namespace cleave {

StreamReply::StreamReply(const ChatBackend& backend, grpc::CallbackServerContext& context)
    : backend_(backend),
      context_(context),
      call_(std::make_shared<ChatCall>(backend, ReadCallInfo(context), *this)),
      self_(this) {}

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
    if (writing_ || WriteNext()) return WatchReader();  // OnWriteDone finishes
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
    ++writes_;
    if (!ok) queue_.Clear();  // the client is gone; OnCancel ends the call
    if (WriteNext() || !end_) return;
    status = *end_;
  }
  Finish(ToGrpc(status));
}

void StreamReply::WatchReader() {
  const auto check = [weak = std::weak_ptr<StreamReply>(self_), writes = writes_] {
    const std::shared_ptr<StreamReply> self = weak.lock();
    if (self != nullptr) self->CheckReader(writes);
  };
  backend_.timers->Add(backend_.clock->Now() + backend_.read_patience, check);
}

void StreamReply::CheckReader(uint64_t writes_then) {
  MutexLock lock(mutex_);
  if (self_ == nullptr || !writing_) return;  // done, or about to be
  if (writes_ != writes_then) return WatchReader();
  context_.TryCancel();  // the open write fails, and OnWriteDone finishes
}

void StreamReply::OnDone() {
  std::shared_ptr<StreamReply> last;  // destroyed after the lock
  MutexLock lock(mutex_);
  last = std::move(self_);
}

}  // namespace cleave
