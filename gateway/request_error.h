// The errors with which a request can end, each typed: a code, a reason and fixed text.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gateway/sequence_order.h"

namespace cleave {

enum class GenerationPhase;

// UNAVAILABLE, with a delay after which another try makes sense.
absl::Status NoPrefillWorker();
absl::Status NoDecodeWorker();
absl::Status WorkerMismatch();
absl::Status Draining();
// ABORTED; `role` is "prefill" or "decode".
absl::Status WorkerLost(absl::string_view role);
// DEADLINE_EXCEEDED, with the reason of the phase.
absl::Status DeadlineError(GenerationPhase phase);
// CANCELLED by the client.
absl::Status CancelledByClient();
// INTERNAL: a peer or this program broke the protocol.
absl::Status InvariantError(absl::string_view what);

// What a worker said, if it said why; else INTERNAL, since its text is not for clients.
absl::Status WorkerError(const absl::Status& status);
// The same for an upload, where gRPC itself may have failed: the worker is gone, or time is up.
absl::Status UploadError(const absl::Status& status);

// A worker names a picture or a sound by its place among the request's media ("media[1].image") or
// just by its kind; the client knows it by its place in the request.
absl::Status WithRequestField(const absl::Status& status, const std::vector<MediaItem>& media);

}  // namespace cleave
