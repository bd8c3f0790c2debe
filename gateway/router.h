// Which two workers serve a request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "gateway/worker.h"

namespace cleave {

// What routing looks at: what a worker told last, and what was given to it since.
struct WorkerStatus {
  bool usable = false;        // connected and not draining
  std::string compatibility;  // workers serve together only when theirs are equal
  int64_t queued_tokens = 0;  // told by the worker
  int requests = 0;           // waiting and running there, from all gateways
  int64_t pages_total = 0;    // of the full-attention pool
  int64_t pages_free = 0;
  int64_t assigned_tokens = 0;  // prompts given by this gateway that it still holds
  int assigned_requests = 0;
  int context_tokens_max = 0;  // of the longest sequence that fits there; 0: unknown
  bool local_prompts = false;  // a decode worker that computes prompts
};

struct PrefillCandidate {
  std::shared_ptr<PrefillWorker> worker;
  WorkerStatus status;
};
struct DecodeCandidate {
  std::shared_ptr<DecodeWorker> worker;
  WorkerStatus status;
};

// The least loaded pair whose compatibility is equal: the prefill worker with the fewest tokens to
// compute, the decode worker with the fewest sequences, then with the most free pages. A pure
// function. UNAVAILABLE, with a delay: no usable prefill worker, no usable decode worker, or no two
// that fit together.
absl::StatusOr<Route> ChooseRoute(absl::Span<const PrefillCandidate> prefill,
                                  absl::Span<const DecodeCandidate> decode);

// The same for a request that a decode worker serves alone: of those that do so, the one with the
// fewest sequences, then with the most free pages.
absl::StatusOr<Route> ChooseLocalRoute(absl::Span<const DecodeCandidate> decode);

}  // namespace cleave
