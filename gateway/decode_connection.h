// A decode worker over gRPC.
#pragma once

#include <memory>
#include <string>

#include "cleave/cluster/v1/decode.grpc.pb.h"
#include "gateway/worker_connection.h"
#include "runtime/rpc/bidi_stream.h"

namespace cleave {

// Thread-safe. The worker's KV link is served at the same address.
class DecodeConnection final : public WorkerConnection, public DecodeWorker {
 public:
  DecodeConnection(std::string address, ConnectionContext context);

  bool Expect(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
              absl::Duration time_left, std::shared_ptr<WorkerEvents> events) override;
  void Cancel(RequestNumber request, const std::string& reason) override;
  void Forget(RequestNumber request) override { LetGo(request); }
  std::string name() const override { return WorkerName(); }
  std::string kv_link_address() const override { return address(); }

 private:
  class Handler;
  using Sender = StreamSender<cluster::v1::GatewayToDecode>;

  void OpenAttach(uint64_t session) override;
  void CloseAttach() override;
  void TellLost(WorkerEvents& events) override { events.OnDecodeLost(); }
  void OnMessage(const cluster::v1::DecodeToGateway& message);
  void OnStep(const cluster::v1::StepTokens& step);
  std::shared_ptr<Sender> sender() const;

  const std::unique_ptr<cluster::v1::Decode::Stub> stub_;
  mutable Mutex sender_mutex_;
  std::shared_ptr<Sender> sender_ ABSL_GUARDED_BY(sender_mutex_);  // shared with the open stream
};

}  // namespace cleave
