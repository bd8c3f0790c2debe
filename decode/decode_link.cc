#include "decode/decode_link.h"

#include <utility>

namespace cleave {

void DecodeLink::Expect(TransferId transfer, const TicketExpectation& expectation,
                        std::function<void(const absl::Status&)> expected) {
  server_.Expect(transfer, expectation, std::move(expected));
}

void DecodeLink::Forget(Ticket ticket, Reason reason) { server_.Forget(ticket, reason); }

void DecodeLink::Reserved(TransferId transfer,
                          absl::StatusOr<std::unique_ptr<TransferDestination>> destination) {
  server_.OnReserved(transfer, std::move(destination));
}

void DecodeLink::ReservePages(TransferId transfer, const TransferPlan& plan) {
  engine_->ReservePages(transfer, plan);
}

void DecodeLink::OnCommitted(TransferId transfer, CommitPayload payload) {
  engine_->OnCommitted(transfer, std::move(payload));
}

void DecodeLink::OnFailed(TransferId transfer, const absl::Status& status) {
  engine_->OnFailed(transfer, status);
}

}  // namespace cleave
