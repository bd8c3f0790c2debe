// Joins the decode engine and the KV link.
#pragma once

#include "decode/decode_engine.h"
#include "runtime/link/grpc_link_server.h"

namespace cleave {

// Forwards both ways; holds no state of its own. Thread-safe.
class DecodeLink final : public KvIntake, private ReceiverListener, private TicketListener {
 public:
  DecodeLink(const ReceiverLinksOptions& options, const Clock& clock, LinkObserver& observer)
      : server_(options, *this, *this, clock, &observer) {}

  // Once, before the server listens. The engine lives until Shutdown has returned.
  void Attach(DecodeEngine& engine) { engine_ = &engine; }
  GrpcLinkServer& server() { return server_; }

  void Expect(TransferId transfer, const TicketExpectation& expectation,
              std::function<void(const absl::Status&)> expected) override;
  void Forget(Ticket ticket, Reason reason) override;
  void Reserved(TransferId transfer,
                absl::StatusOr<std::unique_ptr<TransferDestination>> destination) override;

 private:
  void ReservePages(TransferId transfer, const TransferPlan& plan) override;
  void OnCommitted(TransferId transfer, CommitPayload payload) override;
  void OnFailed(TransferId transfer, const absl::Status& status) override;
  // The links log their own state; the engine hears of each transfer.
  void OnLinkOpen(Incarnation) override {}
  void OnLinkFailed(Incarnation, const absl::Status&) override {}
  // The engine watches the same deadline itself.
  void OnTicketExpired(TransferId) override {}

  DecodeEngine* engine_ = nullptr;
  GrpcLinkServer server_;
};

}  // namespace cleave
