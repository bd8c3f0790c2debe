// A prefill worker over gRPC.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cleave/cluster/v1/prefill.grpc.pb.h"
#include "gateway/attached_connection.h"

namespace cleave {

// Thread-safe. Media travel on a TCP connection of their own, so that they delay no message.
class PrefillConnection final
    : public AttachedConnection<cluster::v1::Prefill, cluster::v1::PrefillToGateway,
                                cluster::v1::GatewayToPrefill>,
      public PrefillWorker {
 public:
  PrefillConnection(std::string address, ConnectionContext context);

  void PutMedia(const MediaItem& item, absl::Duration time_left,
                std::function<void(absl::Status)> done) override;
  bool Run(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
           absl::Duration time_left, uint64_t ticket, const std::string& decode_address,
           std::shared_ptr<WorkerEvents> events) override;
  void Cancel(RequestNumber request, const std::string& reason) override {
    CancelRequest(request, reason);
  }
  void Forget(RequestNumber request) override { LetGo(request); }
  std::string name() const override { return WorkerName(); }

 private:
  void TellLost(WorkerEvents& events, uint32_t epoch) override { events.OnPrefillLost(epoch); }
  void OnMessage(const cluster::v1::PrefillToGateway& message) override;

  const std::unique_ptr<cluster::v1::Prefill::Stub> media_stub_;
};

}  // namespace cleave
