// A prefill worker over gRPC.
#pragma once

#include <memory>
#include <string>

#include "cleave/cluster/v1/prefill.grpc.pb.h"
#include "gateway/worker_connection.h"
#include "runtime/rpc/bidi_stream.h"

namespace cleave {

// Thread-safe. Media travel on a TCP connection of their own, so that they delay no message.
class PrefillConnection final : public WorkerConnection, public PrefillWorker {
 public:
  PrefillConnection(std::string address, ConnectionContext context);

  void PutMedia(const MediaItem& item, absl::Duration time_left,
                std::function<void(absl::Status)> done) override;
  bool Run(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
           absl::Duration time_left, uint64_t ticket, const std::string& decode_address,
           std::shared_ptr<WorkerEvents> events) override;
  void Cancel(RequestNumber request, const std::string& reason) override;
  void Forget(RequestNumber request) override { LetGo(request); }
  std::string name() const override { return WorkerName(); }

 private:
  class Handler;
  using Sender = StreamSender<cluster::v1::GatewayToPrefill>;

  void OpenAttach(uint64_t session) override;
  void CloseAttach() override;
  void TellLost(WorkerEvents& events) override { events.OnPrefillLost(); }
  void OnMessage(const cluster::v1::PrefillToGateway& message);
  std::shared_ptr<Sender> sender() const;

  const std::unique_ptr<cluster::v1::Prefill::Stub> stub_;
  const std::unique_ptr<cluster::v1::Prefill::Stub> media_stub_;
  mutable Mutex sender_mutex_;
  std::shared_ptr<Sender> sender_ ABSL_GUARDED_BY(sender_mutex_);  // shared with the open stream
};

}  // namespace cleave
