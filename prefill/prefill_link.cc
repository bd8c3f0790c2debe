#include "prefill/prefill_link.h"

#include <utility>

#include "runtime/base/log.h"

namespace cleave {

void PrefillLink::Begin(const std::string& decode_address, const TransferSpec& spec) {
  client_.Begin(decode_address, spec);
}

void PrefillLink::QueueFrame(TransferId transfer, const FrameSlice& slice,
                             std::vector<PageBytes> pages, std::function<void()> release) {
  client_.QueueFrame(transfer, slice, std::move(pages), std::move(release));
}

void PrefillLink::Commit(TransferId transfer, CommitPayload payload) {
  client_.Commit(transfer, std::move(payload));
}

void PrefillLink::Cancel(TransferId transfer, Reason reason) { client_.Cancel(transfer, reason); }

void PrefillLink::OnGranted(TransferId transfer) { engine_->OnGranted(transfer); }

// The link claims again by itself; only its last word ends the transfer.
void PrefillLink::OnRefused(TransferId transfer, const absl::Status& why) {
  Log(Severity::kInfo, "claim_refused",
      {{"ticket", static_cast<uint64_t>(transfer.ticket)}, {"why", std::string(why.message())}});
}

void PrefillLink::OnFinished(TransferId transfer, const absl::Status& status) {
  engine_->OnFinished(transfer, status);
}

}  // namespace cleave
