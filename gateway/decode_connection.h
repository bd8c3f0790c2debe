// A decode worker over gRPC.
#pragma once

#include <memory>
#include <string>

#include "cleave/cluster/v1/decode.grpc.pb.h"
#include "gateway/attached_connection.h"

namespace cleave {

// Thread-safe. The worker's KV link is served at the same address.
class DecodeConnection final
    : public AttachedConnection<cluster::v1::Decode, cluster::v1::DecodeToGateway,
                                cluster::v1::GatewayToDecode>,
      public DecodeWorker {
 public:
  DecodeConnection(std::string address, ConnectionContext context);

  bool Expect(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
              absl::Duration time_left, std::shared_ptr<WorkerEvents> events) override;
  void CancelCandidate(RequestNumber request, int candidate) override;
  void Cancel(RequestNumber request, const std::string& reason) override {
    CancelRequest(request, reason);
  }
  void Forget(RequestNumber request) override { LetGo(request); }
  std::string name() const override { return WorkerName(); }
  std::string kv_link_address() const override { return address(); }

 private:
  void TellLost(WorkerEvents& events, uint32_t epoch) override { events.OnDecodeLost(epoch); }
  void OnMessage(const cluster::v1::DecodeToGateway& message) override;
  void OnStep(const cluster::v1::StepTokens& step);
};

}  // namespace cleave
