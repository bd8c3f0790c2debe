// Decode.Attach: gateways on one side, the engine's mailbox on the other.
#pragma once

#include <atomic>
#include <set>

#include "cleave/cluster/v1/decode.grpc.pb.h"
#include "decode/decode_engine.h"
#include "runtime/base/mutex.h"
#include "runtime/rpc/bidi_stream.h"

namespace cleave {

// Thread-safe: gRPC's threads call it.
class DecodeService final : public cluster::v1::Decode::CallbackService {
 public:
  // Everything outlives the service.
  DecodeService(DecodeEngine& engine, const ModelHost& host, const Clock& clock)
      : engine_(engine), host_(host), clock_(clock) {}

  grpc::ServerBidiReactor<cluster::v1::GatewayToDecode, cluster::v1::DecodeToGateway>* Attach(
      grpc::CallbackServerContext* context) override;

  // From here on new sequences are refused with DRAINING.
  void Drain() { draining_ = true; }
  // Ends all attachments, once what is queued on them is written.
  void CloseStreams();

 private:
  using Sender = StreamSender<cluster::v1::DecodeToGateway>;
  class Session;

  DecodeEngine& engine_;
  const ModelHost& host_;
  const Clock& clock_;
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> sessions_{0};
  Mutex mutex_;
  std::set<std::shared_ptr<Sender>> senders_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cleave
