// Typed errors: an absl::Status that also says, in fields a program can read, which limit was
// broken. runtime/rpc turns them into google.rpc details; nothing below it knows protobuf.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cleave {

// The closed list of reasons a client may meet (ErrorInfo.reason, domain "cleave").
// proto/cleave/v1/error.proto documents each; a test keeps the two lists equal.
enum class Reason {
  kUnspecified,
  // INVALID_ARGUMENT: the request itself is wrong.
  kFieldInvalid,
  kTextNotUtf8,
  kContextTooLong,
  kMediaUnsupported,
  kMediaUndecodable,
  kMediaLimit,
  // FAILED_PRECONDITION
  kMediaNotUploaded,
  // NOT_FOUND
  kModelNotServed,
  // RESOURCE_EXHAUSTED: come back later; RetryInfo says when.
  kQueueFull,
  kKvCacheFull,
  // UNAVAILABLE: nothing was lost, another try may go through at once.
  kNoPrefillWorker,
  kNoDecodeWorker,
  kDraining,
  kWorkerMismatch,
  // ABORTED
  kWorkerLost,
  kStaleEpoch,
  // CANCELLED
  kCancelled,
  // DEADLINE_EXCEEDED: which phase used the time up.
  kQueueDeadline,
  kPrefillDeadline,
  kTransferDeadline,
  kDecodeDeadline,
  // DATA_LOSS
  kKvTransferCorrupt,
  // INTERNAL
  kInvariant,
  // UNIMPLEMENTED
  kNotInThisModel,
  // ABORTED
  kSlowReader,
  // RESOURCE_EXHAUSTED
  kPreempted,
};
inline constexpr size_t kReasonCount = static_cast<size_t>(Reason::kPreempted) + 1;

// "FIELD_INVALID" for kFieldInvalid, and so on.
absl::string_view ReasonName(Reason reason);
// kUnspecified for a name that is not in the list.
Reason ReasonFromName(absl::string_view name);

// What a typed error tells besides its code and message. Empty strings are absent.
struct ErrorDetail {
  Reason reason = Reason::kUnspecified;
  std::string field;   // path in the request, as "messages[0].parts[1].image"
  std::string limit;   // what is allowed, with its unit
  std::string actual;  // what was found
  std::optional<absl::Duration> retry_after;

  friend bool operator==(const ErrorDetail&, const ErrorDetail&) = default;
};

// A status that carries `detail`. `message` is a fixed text plus numbers and names that the caller
// sent; it never holds addresses, paths of this machine or text of another request.
absl::Status MakeError(absl::StatusCode code, absl::string_view message, const ErrorDetail& detail);

// The detail MakeError put into a status; absent for plain statuses.
std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status);
Reason GetReason(const absl::Status& status);

// INVALID_ARGUMENT: `field` is `actual`, but `limit` is allowed.
absl::Status InvalidField(Reason reason, absl::string_view field, absl::string_view limit,
                          absl::string_view actual);

// The same error one level further out: `prefix` is put before the field path
// ("messages[0]" + "parts[1]" gives "messages[0].parts[1]").
absl::Status PrefixField(const absl::Status& status, absl::string_view prefix);

}  // namespace cleave
