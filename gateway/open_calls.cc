#include "gateway/open_calls.h"

#include <utility>

namespace cleave {

void OpenCalls::CancelAll() {
  MutexLock lock(mutex_);
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
}

void OpenCalls::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  CancelAll();
}

bool OpenCalls::WaitUntilNone(absl::Duration patience, const Clock& clock) {
  const absl::Time give_up = clock.Now() + patience;
  MutexLock lock(mutex_);
  while (calls_ > 0) {
    const absl::Duration left = give_up - clock.Now();
    if (left <= absl::ZeroDuration()) return false;
    none_.WaitFor(mutex_, left);
  }
  return true;
}

OpenCall::OpenCall(std::shared_ptr<OpenCalls> calls) : calls_(std::move(calls)) {
  MutexLock lock(calls_->mutex_);
  ++calls_->calls_;
}

OpenCall::~OpenCall() {
  MutexLock lock(calls_->mutex_);
  if (--calls_->calls_ == 0) calls_->none_.NotifyAll();
}

void OpenCall::Bind(grpc::ClientContext& context) {
  context_ = &context;
  MutexLock lock(calls_->mutex_);
  calls_->contexts_.insert(context_);
  if (calls_->closed_) context_->TryCancel();
}

void OpenCall::Unbind() {
  MutexLock lock(calls_->mutex_);
  calls_->contexts_.erase(context_);
}

}  // namespace cleave
