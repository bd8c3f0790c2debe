#include "gateway/router.h"

#include <algorithm>
#include <tuple>

#include "gateway/request_error.h"

namespace cleave {
namespace {

// The worker's own count lags behind what was just sent; the larger of the two is nearer the truth.
int64_t QueuedTokens(const WorkerStatus& status) {
  return std::max(status.queued_tokens, status.assigned_tokens);
}

double PagesUsed(const WorkerStatus& status) {
  if (status.pages_total == 0) return 0;
  return 1.0 - static_cast<double>(status.pages_free) / static_cast<double>(status.pages_total);
}

using Load = std::tuple<int64_t, int, double>;

Load LoadOf(const WorkerStatus& prefill, const WorkerStatus& decode) {
  return {QueuedTokens(prefill), std::max(decode.requests, decode.assigned_requests),
          PagesUsed(decode)};
}

template <typename Candidate>
bool HasUsable(absl::Span<const Candidate> candidates) {
  return std::any_of(candidates.begin(), candidates.end(),
                     [](const Candidate& candidate) { return candidate.status.usable; });
}

}  // namespace

absl::StatusOr<Route> ChooseRoute(absl::Span<const PrefillCandidate> prefill,
                                  absl::Span<const DecodeCandidate> decode) {
  if (!HasUsable(prefill)) return NoPrefillWorker();
  if (!HasUsable(decode)) return NoDecodeWorker();
  Route best;
  Load best_load;
  for (const PrefillCandidate& p : prefill) {
    if (!p.status.usable) continue;
    for (const DecodeCandidate& d : decode) {
      if (!d.status.usable || d.status.compatibility != p.status.compatibility) continue;
      const Load load = LoadOf(p.status, d.status);
      if (best.prefill != nullptr && !(load < best_load)) continue;
      best = {p.worker, d.worker,
              std::min(p.status.context_tokens_max, d.status.context_tokens_max),
              p.status.compatibility};
      best_load = load;
    }
  }
  if (best.prefill == nullptr) return WorkerMismatch();
  return best;
}

absl::StatusOr<Route> ChooseLocalRoute(absl::Span<const DecodeCandidate> decode) {
  Route best;
  Load best_load;
  for (const DecodeCandidate& d : decode) {
    if (!d.status.usable || !d.status.local_prompts) continue;
    const Load load = LoadOf({}, d.status);
    if (best.decode != nullptr && !(load < best_load)) continue;
    best = {nullptr, d.worker, d.status.context_tokens_max, d.status.compatibility};
    best_load = load;
  }
  if (best.decode == nullptr) return NoDecodeWorker();
  return best;
}

}  // namespace cleave
