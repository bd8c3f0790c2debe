// Prefill and decode workers whose answers a test scripts, served by real gRPC on 127.0.0.1.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cleave/cluster/v1/decode.grpc.pb.h"
#include "cleave/cluster/v1/prefill.grpc.pb.h"
#include "runtime/base/mutex.h"
#include "runtime/rpc/bidi_stream.h"
#include "runtime/rpc/server.h"
#include "runtime/rpc/worker_service.h"

namespace cleave {

// What a worker says of itself; shared by both kinds. Thread-safe.
class FakeIdentity {
 public:
  FakeIdentity(cluster::v1::WorkerRole role, std::string name);
  // Waits while frozen.
  cluster::v1::WorkerState Get() const;
  // As a process that is stopped: its sockets live, but it tells nothing.
  void Freeze(bool frozen);
  void Change(const std::function<void(cluster::v1::WorkerState&)>& change);

 private:
  mutable Mutex mutex_;
  mutable CondVar thawed_;
  bool frozen_ ABSL_GUARDED_BY(mutex_) = false;
  cluster::v1::WorkerState state_ ABSL_GUARDED_BY(mutex_);
};

// A call that is taken and then left alone until it is cancelled, as by a worker that hangs.
// Deletes itself when the call is over.
template <typename Reactor>
class HungCall final : public Reactor {
  void OnCancel() override { this->Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }
};

// The server half of both: one Attach stream at a time, and a script called for every message.
template <typename In, typename Out>
class FakeAttachment {
 public:
  using Script = std::function<void(const In&)>;

  void SetScript(Script script) {
    MutexLock lock(mutex_);
    script_ = std::move(script);
  }
  void Send(Out message) {
    std::shared_ptr<StreamSender<Out>> sender;
    {
      MutexLock lock(mutex_);
      sender = sender_;
    }
    if (sender != nullptr) sender->Send(std::move(message));
  }
  // The next streams hang: nothing is read, and no half-close is answered.
  void Hang() {
    MutexLock lock(mutex_);
    hangs_ = true;
  }
  grpc::ServerBidiReactor<In, Out>* Attach(grpc::CallbackServerContext& context) {
    {
      MutexLock lock(mutex_);
      if (hangs_) return new HungCall<grpc::ServerBidiReactor<In, Out>>;
    }
    auto sender = std::make_shared<StreamSender<Out>>(1024);
    {
      MutexLock lock(mutex_);
      sender_ = sender;
    }
    return new ServerBidiStream<In, Out>(context, sender, std::make_unique<Handler>(*this));
  }
  std::vector<In> received() const {
    MutexLock lock(mutex_);
    return received_;
  }

 private:
  class Handler final : public StreamHandler<In> {
   public:
    explicit Handler(FakeAttachment& attachment) : attachment_(attachment) {}
    void OnMessage(In& message) override {
      Script script;
      {
        MutexLock lock(attachment_.mutex_);
        attachment_.received_.push_back(message);
        script = attachment_.script_;
      }
      if (script) script(message);
    }
    void OnClosed(const absl::Status&) override {}

   private:
    FakeAttachment& attachment_;
  };

  mutable Mutex mutex_;
  Script script_ ABSL_GUARDED_BY(mutex_);
  bool hangs_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<StreamSender<Out>> sender_ ABSL_GUARDED_BY(mutex_);
  std::vector<In> received_ ABSL_GUARDED_BY(mutex_);
};

// Answers Expect with a ticket: request + 1000. Whatever else, the test sends.
class FakeDecodeWorker final : public cluster::v1::Decode::CallbackService {
 public:
  explicit FakeDecodeWorker(std::string name = "fake-decode", int port = 0);
  ~FakeDecodeWorker() override;

  int port() const { return port_; }
  std::string address() const;
  void Kill();  // every stream breaks, the port closes

  FakeIdentity identity;
  FakeAttachment<cluster::v1::GatewayToDecode, cluster::v1::DecodeToGateway> attachment;

  void SendTicket(uint64_t request);
  // With log-probabilities, each token is certain and its own likeliest.
  void SendTokens(uint64_t request, uint32_t first_index, const std::vector<int32_t>& ids,
                  cluster::v1::FinishCause finish = cluster::v1::FINISH_CAUSE_UNSPECIFIED,
                  bool log_probabilities = false, uint32_t candidate = 0);
  void SendEnded(uint64_t request, const absl::Status& status);
  int num_cancels() const;

 private:
  // Of the newest try: all that is sent answers that.
  uint32_t EpochOf(uint64_t request) const;
  grpc::ServerBidiReactor<cluster::v1::GatewayToDecode, cluster::v1::DecodeToGateway>* Attach(
      grpc::CallbackServerContext* context) override {
    return attachment.Attach(*context);
  }

  int port_ = 0;
  std::unique_ptr<WorkerService> watch_;
  std::unique_ptr<RpcServer> server_;
};

// Keeps media; answers Run with nothing until the test says so.
class FakePrefillWorker final : public cluster::v1::Prefill::CallbackService {
 public:
  FakePrefillWorker();
  ~FakePrefillWorker() override;

  std::string address() const;
  void Kill();

  FakeIdentity identity;
  FakeAttachment<cluster::v1::GatewayToPrefill, cluster::v1::PrefillToGateway> attachment;

  void SendFirst(uint64_t request, int32_t id,
                 cluster::v1::FinishCause finish = cluster::v1::FINISH_CAUSE_UNSPECIFIED,
                 bool log_probabilities = false, uint32_t candidate = 0);
  void SendEnded(uint64_t request, const absl::Status& status);
  int num_cancels() const;
  // What PutMedia answers from here on.
  void SetMediaStatus(const absl::Status& status);
  // The next uploads hang.
  void HangUploads();
  int hung_uploads() const;
  std::map<std::string, std::string> media() const;  // bytes by content hash

 private:
  class MediaReader;
  uint32_t EpochOf(uint64_t request) const;
  grpc::ServerBidiReactor<cluster::v1::GatewayToPrefill, cluster::v1::PrefillToGateway>* Attach(
      grpc::CallbackServerContext* context) override {
    return attachment.Attach(*context);
  }
  grpc::ServerReadReactor<cluster::v1::MediaPiece>* PutMedia(
      grpc::CallbackServerContext*, cluster::v1::PutMediaResponse*) override;

  mutable Mutex mutex_;
  absl::Status media_status_ ABSL_GUARDED_BY(mutex_);
  bool uploads_hang_ ABSL_GUARDED_BY(mutex_) = false;
  int hung_uploads_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::string> media_ ABSL_GUARDED_BY(mutex_);
  int port_ = 0;
  std::unique_ptr<WorkerService> watch_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace cleave
