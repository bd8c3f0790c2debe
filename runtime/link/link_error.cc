#include "runtime/link/link_error.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace cleave {

absl::StatusCode CodeOf(Reason reason) {
  switch (reason) {
    case Reason::kFieldInvalid:
    case Reason::kTextNotUtf8:
    case Reason::kContextTooLong:
    case Reason::kMediaUnsupported:
    case Reason::kMediaUndecodable:
    case Reason::kMediaLimit:
      return absl::StatusCode::kInvalidArgument;
    case Reason::kMediaNotUploaded:
      return absl::StatusCode::kFailedPrecondition;
    case Reason::kModelNotServed:
      return absl::StatusCode::kNotFound;
    case Reason::kQueueFull:
    case Reason::kKvCacheFull:
    case Reason::kPreempted:
      return absl::StatusCode::kResourceExhausted;
    case Reason::kNoPrefillWorker:
    case Reason::kNoDecodeWorker:
    case Reason::kDraining:
    case Reason::kWorkerMismatch:
      return absl::StatusCode::kUnavailable;
    case Reason::kWorkerLost:
    case Reason::kStaleEpoch:
    case Reason::kSlowReader:
      return absl::StatusCode::kAborted;
    case Reason::kCancelled:
      return absl::StatusCode::kCancelled;
    case Reason::kQueueDeadline:
    case Reason::kPrefillDeadline:
    case Reason::kTransferDeadline:
    case Reason::kDecodeDeadline:
      return absl::StatusCode::kDeadlineExceeded;
    case Reason::kKvTransferCorrupt:
      return absl::StatusCode::kDataLoss;
    case Reason::kNotInThisModel:
      return absl::StatusCode::kUnimplemented;
    case Reason::kInvariant:
    case Reason::kUnspecified:
      return absl::StatusCode::kInternal;
  }
  return absl::StatusCode::kInternal;
}

absl::Status LinkError(Reason reason, absl::string_view message,
                       std::optional<absl::Duration> retry_after) {
  if (reason == Reason::kUnspecified) reason = Reason::kInvariant;
  return MakeError(
      CodeOf(reason), message,
      {.reason = reason, .field = "", .limit = "", .actual = "", .retry_after = retry_after});
}

absl::Status MismatchError(absl::string_view field, absl::string_view expected,
                           absl::string_view actual) {
  return MakeError(
      CodeOf(Reason::kWorkerMismatch),
      absl::StrCat("the workers differ in ", field, ": expected ", expected, ", found ", actual),
      {.reason = Reason::kWorkerMismatch,
       .field = std::string(field),
       .limit = std::string(expected),
       .actual = std::string(actual),
       .retry_after = std::nullopt});
}

absl::Status CheckIdentity(const LinkIdentity& own, const LinkIdentity& peer) {
  if (own.protocol_version != peer.protocol_version) {
    return MismatchError("protocol_version", absl::StrCat(own.protocol_version),
                         absl::StrCat(peer.protocol_version));
  }
  const std::pair<const char*, std::string LinkIdentity::*> fields[] = {
      {"layout_hash", &LinkIdentity::layout_hash},
      {"build", &LinkIdentity::build},
      {"model_id", &LinkIdentity::model_id},
      {"numerics_fingerprint", &LinkIdentity::numerics_fingerprint},
  };
  for (const auto& [name, field] : fields) {
    if (own.*field != peer.*field) return MismatchError(name, own.*field, peer.*field);
  }
  return absl::OkStatus();
}

}  // namespace cleave
