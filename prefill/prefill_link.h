// Joins the prefill engine and the KV link.
#pragma once

#include "prefill/prefill_engine.h"
#include "runtime/link/grpc_link_client.h"

namespace cleave {

// Forwards both ways; holds no state of its own. Thread-safe.
class PrefillLink final : public KvOutlet, private SenderListener {
 public:
  PrefillLink(const SenderLinksOptions& options,
              std::shared_ptr<grpc::ChannelCredentials> credentials, const Clock& clock,
              LinkObserver& observer)
      : client_(options, std::move(credentials), *this, clock, &observer) {}

  // Once, before the first prompt. The engine lives until Shutdown has returned.
  void Attach(PrefillEngine& engine) { engine_ = &engine; }
  GrpcLinkClient& client() { return client_; }

  void Begin(const std::string& decode_address, const TransferSpec& spec) override;
  void QueueFrame(TransferId transfer, const FrameSlice& slice, std::vector<PageBytes> pages,
                  std::function<void()> release) override;
  void Commit(TransferId transfer, CommitPayload payload) override;
  void Cancel(TransferId transfer, Reason reason) override;

 private:
  void OnGranted(TransferId transfer) override;
  void OnRefused(TransferId transfer, const absl::Status& why) override;
  void OnFinished(TransferId transfer, const absl::Status& status) override;
  // The links log their own state; the engine hears of each transfer.
  void OnLinkOpen(const LinkAccepted&) override {}
  void OnLinkFailed(const absl::Status&) override {}

  PrefillEngine* engine_ = nullptr;
  GrpcLinkClient client_;
};

}  // namespace cleave
