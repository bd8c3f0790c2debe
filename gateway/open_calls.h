// The calls of one connection that are still gRPC's.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>
#include <set>

#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace cleave {

// gRPC ends a call on a thread of its own, and the call keeps its channel to the last. gRPC 1.51
// must not lose its last channel there, so who drops channels first ends their calls and waits.
// Shared by a connection and its calls. Thread-safe.
class OpenCalls {
 public:
  // Cancels those that are open.
  void CancelAll();
  // The same, and every later one is cancelled as it begins.
  void Close();
  // Until nothing of any call is left. False when `patience` was not enough.
  bool WaitUntilNone(absl::Duration patience, const Clock& clock);

 private:
  friend class OpenCall;

  Mutex mutex_;
  CondVar none_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<grpc::ClientContext*> contexts_
      ABSL_GUARDED_BY(mutex_);  // of calls that may be cancelled
};

// One of them, counted as long as this lives: a member of the call's reactor, destroyed after its
// ClientContext.
class OpenCall {
 public:
  explicit OpenCall(std::shared_ptr<OpenCalls> calls);
  ~OpenCall();
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;

  // The call can be cancelled from here on...
  void Bind(grpc::ClientContext& context);
  // ...until here. OnDone calls this, before the context goes.
  void Unbind();

 private:
  const std::shared_ptr<OpenCalls> calls_;
  grpc::ClientContext* context_ = nullptr;
};

}  // namespace cleave
