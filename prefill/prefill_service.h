// Prefill.Attach and Prefill.PutMedia: gateways on one side, the engine's mailbox on the other.
#pragma once

#include <atomic>
#include <set>

#include "cleave/cluster/v1/prefill.grpc.pb.h"
#include "prefill/media_preparer.h"
#include "prefill/prefill_engine.h"
#include "runtime/base/mutex.h"
#include "runtime/rpc/bidi_stream.h"

namespace cleave {

// Thread-safe: gRPC's threads call it.
class PrefillService final : public cluster::v1::Prefill::CallbackService {
 public:
  // Everything outlives the service.
  PrefillService(PrefillEngine& engine, MediaPreparer& preparer, MediaStore& store,
                 const MediaLimits& limits, const ModelHost& host, const Clock& clock)
      : engine_(engine),
        preparer_(preparer),
        store_(store),
        limits_(limits),
        host_(host),
        clock_(clock) {}

  grpc::ServerBidiReactor<cluster::v1::GatewayToPrefill, cluster::v1::PrefillToGateway>* Attach(
      grpc::CallbackServerContext* context) override;
  grpc::ServerReadReactor<cluster::v1::MediaPiece>* PutMedia(
      grpc::CallbackServerContext* context, cluster::v1::PutMediaResponse* response) override;

  // From here on new prompts are refused with DRAINING.
  void Drain() { draining_ = true; }
  // Ends all attachments, once what is queued on them is written.
  void CloseStreams();

 private:
  using Sender = StreamSender<cluster::v1::PrefillToGateway>;
  class Session;

  PrefillEngine& engine_;
  MediaPreparer& preparer_;
  MediaStore& store_;
  const MediaLimits limits_;
  const ModelHost& host_;
  const Clock& clock_;
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> sessions_{0};
  Mutex mutex_;
  std::set<std::shared_ptr<Sender>> senders_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cleave
