// What connections to prefill and decode workers have in common beyond WorkerConnection: an Attach
// stream of their own types of messages.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gateway/open_calls.h"
#include "gateway/worker_connection.h"
#include "runtime/rpc/bidi_stream.h"

namespace cleave {

// `Service` is cluster::v1::Decode or Prefill, `In` and `Out` are what its workers and gateways say
// on Attach. Thread-safe.
template <typename Service, typename In, typename Out>
class AttachedConnection : public WorkerConnection {
 protected:
  AttachedConnection(std::string address, cluster::v1::WorkerRole role, ConnectionContext context)
      : WorkerConnection(std::move(address), role, std::move(context)),
        stub_(Service::NewStub(channel())) {}

  // One call at a time, by gRPC's threads.
  virtual void OnMessage(const In& message) = 0;

  // Holds the request and sends what begins it. False: not attached; then it is not held.
  bool BeginRequest(RequestNumber request, Held held, Out message) {
    const std::optional<uint64_t> session = Hold(request, std::move(held));
    if (!session) return false;
    const Stream stream = CurrentStream();
    // A message on an older stream would be lost without a word.
    if (stream.session == *session && stream.sender->Send(std::move(message))) return true;
    LetGo(request);
    return false;
  }

  void CancelRequest(RequestNumber request, const std::string& reason) {
    LetGo(request);
    Out message;
    message.mutable_cancel()->set_request(static_cast<uint64_t>(request));
    message.mutable_cancel()->set_reason(reason);
    SendCancel(std::move(message));
  }

  // A stream that is over has cancelled everything.
  void SendCancel(Out message) {
    const Stream stream = CurrentStream();
    if (stream.sender != nullptr) stream.sender->Send(std::move(message));
  }

 private:
  // Messages to one worker that may wait for its socket.
  static constexpr size_t kOutgoingMax = 4096;

  struct Stream {
    uint64_t session = 0;
    std::shared_ptr<StreamSender<Out>> sender;  // shared with the stream
  };

  // The receiving half; owned by the stream, which destroys it after its ClientContext.
  class Handler final : public StreamHandler<In> {
   public:
    Handler(std::unique_ptr<OpenCall> call, std::shared_ptr<AttachedConnection> connection,
            uint64_t session)
        : call_(std::move(call)), connection_(std::move(connection)), session_(session) {}
    void OnMessage(In& message) override { connection_->OnMessage(message); }
    void OnClosed(const absl::Status& status) override {
      call_->Unbind();
      connection_->AttachClosed(session_, status);
    }

   private:
    const std::unique_ptr<OpenCall> call_;  // first: destroyed last
    const std::shared_ptr<AttachedConnection> connection_;
    const uint64_t session_;
  };

  void OpenAttach(uint64_t session, std::unique_ptr<OpenCall> call) override {
    auto sender = std::make_shared<StreamSender<Out>>(kOutgoingMax);
    {
      MutexLock lock(stream_mutex_);
      stream_ = {session, sender};
    }
    OpenCall& open = *call;
    auto self = std::static_pointer_cast<AttachedConnection>(shared_from_this());
    ClientBidiStream<In, Out>::Open(
        std::move(sender), std::make_unique<Handler>(std::move(call), std::move(self), session),
        [this, &open](grpc::ClientContext* context, auto* reactor) {
          stub_->async()->Attach(context, reactor);
          open.Bind(*context);
        });
  }

  Stream CurrentStream() const {
    MutexLock lock(stream_mutex_);
    return stream_;
  }

  const std::unique_ptr<typename Service::Stub> stub_;
  mutable Mutex stream_mutex_;
  Stream stream_ ABSL_GUARDED_BY(stream_mutex_);  // the newest
};

}  // namespace cleave
