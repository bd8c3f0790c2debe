// Both ends of a bidirectional stream that carries messages of many requests: the gateway's
// attachments to its workers.
//
// A StreamSender is the sending half, shared by the reactor (which gRPC owns) and whoever sends. A
// StreamHandler receives; it is called by gRPC's threads, one call at a time.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "runtime/base/check.h"
#include "runtime/base/mutex.h"
#include "runtime/rpc/status.h"

namespace cleave {

// Messages on their way out: at most `capacity` wait behind the one being written. Thread-safe.
template <typename Out>
class StreamSender {
 public:
  explicit StreamSender(size_t capacity) : capacity_(capacity) {}

  // False: the stream is closed, or the peer reads too slowly and the queue is full. The message is
  // then not sent; a queue that is full closes the stream, since a lost message is a lost request.
  bool Send(Out message) {
    MutexLock lock(mutex_);
    if (closed_) return false;
    if (queue_.size() >= capacity_) {
      closed_ = overflowed_ = true;
      queue_.clear();
      if (cancel_) cancel_();
      return false;
    }
    queue_.push_back(std::move(message));
    if (!writing_) WriteNext();
    return true;
  }

  // Takes nothing more; what is queued is still written, then the stream ends from this side.
  void Close() {
    MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    if (!writing_ && finish_) finish_();
  }

  // ---- For the reactors below ----

  struct Operations {
    std::function<void(const Out*)> write;
    std::function<void()> finish;  // after the last write
    std::function<void()> cancel;  // at once
  };
  void Bind(Operations operations) {
    MutexLock lock(mutex_);
    write_ = std::move(operations.write);
    finish_ = std::move(operations.finish);
    cancel_ = std::move(operations.cancel);
    if (overflowed_) {
      cancel_();
    } else if (!queue_.empty()) {
      WriteNext();
    } else if (closed_) {
      finish_();
    }
  }
  void OnWriteDone(bool ok) {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) {
      closed_ = true;
      queue_.clear();
      return;
    }
    if (!queue_.empty()) {
      WriteNext();
    } else if (closed_ && finish_) {
      finish_();
    }
  }
  // The stream is over: nothing may touch the reactor any more.
  void Unbind() {
    MutexLock lock(mutex_);
    closed_ = true;
    write_ = nullptr;
    finish_ = nullptr;
    cancel_ = nullptr;
  }

 private:
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!write_) return;
    current_ = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    write_(&current_);
  }

  const size_t capacity_;
  Mutex mutex_;
  std::deque<Out> queue_ ABSL_GUARDED_BY(mutex_);
  Out current_;  // belongs to gRPC while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool overflowed_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void(const Out*)> write_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> finish_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> cancel_ ABSL_GUARDED_BY(mutex_);
};

template <typename In>
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void OnMessage(In& message) = 0;
  // The last call, exactly once. OK when both sides ended in order.
  virtual void OnClosed(const absl::Status& status) = 0;
};

// The serving end. Deletes itself when the stream is over.
template <typename In, typename Out>
class ServerBidiStream final : public grpc::ServerBidiReactor<In, Out> {
 public:
  // `context` is the call's, which outlives this.
  ServerBidiStream(grpc::CallbackServerContext& context, std::shared_ptr<StreamSender<Out>> sender,
                   std::unique_ptr<StreamHandler<In>> handler)
      : sender_(std::move(sender)), handler_(std::move(handler)) {
    this->StartRead(&incoming_);  // first: binding may end the stream
    sender_->Bind({.write = [this](const Out* message) { this->StartWrite(message); },
                   .finish = [this] { FinishOnce(grpc::Status::OK); },
                   // Comes back as OnCancel, once no write is in the way.
                   .cancel = [&context] { context.TryCancel(); }});
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {  // the peer has sent everything, or is gone
      sender_->Close();
      return;
    }
    handler_->OnMessage(incoming_);
    incoming_.Clear();
    this->StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override { sender_->OnWriteDone(ok); }
  void OnCancel() override {
    sender_->Unbind();  // no write may follow Finish
    FinishOnce(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
  }
  void OnDone() override {
    sender_->Unbind();
    handler_->OnClosed(absl::OkStatus());
    delete this;
  }
  void FinishOnce(const grpc::Status& status) {
    if (!finished_.exchange(true)) this->Finish(status);
  }

  std::shared_ptr<StreamSender<Out>> sender_;
  std::unique_ptr<StreamHandler<In>> handler_;
  In incoming_;
  std::atomic<bool> finished_{false};
};

// The calling end. Deletes itself when the stream is over.
template <typename In, typename Out>
class ClientBidiStream final : public grpc::ClientBidiReactor<Out, In> {
 public:
  // `start(context, reactor)` calls stub.async()->Method(context, reactor).
  using Start = std::function<void(grpc::ClientContext*, grpc::ClientBidiReactor<Out, In>*)>;

  static void Open(std::shared_ptr<StreamSender<Out>> sender,
                   std::unique_ptr<StreamHandler<In>> handler, const Start& start) {
    (new ClientBidiStream(std::move(sender), std::move(handler)))->Begin(start);
  }

 private:
  ClientBidiStream(std::shared_ptr<StreamSender<Out>> sender,
                   std::unique_ptr<StreamHandler<In>> handler)
      : sender_(std::move(sender)), handler_(std::move(handler)) {}

  void Begin(const Start& start) {
    start(&context_, this);
    // Held until the sender has no more to write, since it starts writes from other threads.
    this->AddHold();
    sender_->Bind({.write = [this](const Out* message) { this->StartWrite(message); },
                   .finish = [this] { this->StartWritesDone(); },
                   .cancel = [this] { context_.TryCancel(); }});
    this->StartRead(&incoming_);
    this->StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {  // the call is over
      sender_->Unbind();
      ReleaseHold();
      return;
    }
    handler_->OnMessage(incoming_);
    incoming_.Clear();
    this->StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override { sender_->OnWriteDone(ok); }
  void OnDone(const grpc::Status& status) override {
    sender_->Unbind();
    handler_->OnClosed(FromGrpc(status));
    delete this;
  }
  void ReleaseHold() {
    if (!released_.exchange(true)) this->RemoveHold();
  }

  std::shared_ptr<StreamSender<Out>> sender_;
  std::unique_ptr<StreamHandler<In>> handler_;  // goes after the context, which holds the channel
  grpc::ClientContext context_;
  In incoming_;
  std::atomic<bool> released_{false};
};

}  // namespace cleave
