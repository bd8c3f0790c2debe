// The typed errors of the KV link.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/base/error.h"
#include "runtime/link/link_messages.h"

namespace cleave {

// The status code under which runtime/base/error.h lists a reason; INTERNAL for kUnspecified.
absl::StatusCode CodeOf(Reason reason);

// A typed error of that code. Never OK and never without a reason, whatever a peer sent:
// kUnspecified becomes kInvariant.
absl::Status LinkError(Reason reason, absl::string_view message,
                       std::optional<absl::Duration> retry_after = std::nullopt);

// WORKER_MISMATCH: `field` is `actual` at the peer and `expected` here.
absl::Status MismatchError(absl::string_view field, absl::string_view expected,
                           absl::string_view actual);

// WORKER_MISMATCH naming the first field in which `peer` differs from `own`, apart from the NCCL
// version, which only the choice of the mover looks at.
absl::Status CheckIdentity(const LinkIdentity& own, const LinkIdentity& peer);

}  // namespace cleave
