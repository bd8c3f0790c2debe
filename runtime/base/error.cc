#include "runtime/base/error.h"

#include <array>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cleave {
namespace {

constexpr absl::string_view kPayloadUrl = "cleave/error-detail";

constexpr std::pair<Reason, absl::string_view> kNames[] = {
    {Reason::kUnspecified, "UNSPECIFIED"},
    {Reason::kFieldInvalid, "FIELD_INVALID"},
    {Reason::kTextNotUtf8, "TEXT_NOT_UTF8"},
    {Reason::kContextTooLong, "CONTEXT_TOO_LONG"},
    {Reason::kMediaUnsupported, "MEDIA_UNSUPPORTED"},
    {Reason::kMediaUndecodable, "MEDIA_UNDECODABLE"},
    {Reason::kMediaLimit, "MEDIA_LIMIT"},
    {Reason::kMediaNotUploaded, "MEDIA_NOT_UPLOADED"},
    {Reason::kModelNotServed, "MODEL_NOT_SERVED"},
    {Reason::kQueueFull, "QUEUE_FULL"},
    {Reason::kKvCacheFull, "KV_CACHE_FULL"},
    {Reason::kNoPrefillWorker, "NO_PREFILL_WORKER"},
    {Reason::kNoDecodeWorker, "NO_DECODE_WORKER"},
    {Reason::kDraining, "DRAINING"},
    {Reason::kWorkerMismatch, "WORKER_MISMATCH"},
    {Reason::kWorkerLost, "WORKER_LOST"},
    {Reason::kStaleEpoch, "STALE_EPOCH"},
    {Reason::kCancelled, "CANCELLED"},
    {Reason::kQueueDeadline, "QUEUE_DEADLINE"},
    {Reason::kPrefillDeadline, "PREFILL_DEADLINE"},
    {Reason::kTransferDeadline, "TRANSFER_DEADLINE"},
    {Reason::kDecodeDeadline, "DECODE_DEADLINE"},
    {Reason::kKvTransferCorrupt, "KV_TRANSFER_CORRUPT"},
    {Reason::kInvariant, "INVARIANT"},
    {Reason::kNotInThisModel, "NOT_IN_THIS_MODEL"},
    {Reason::kSlowReader, "SLOW_READER"},
    {Reason::kPreempted, "PREEMPTED"},
};

// The payload is the five parts joined by a byte that no part may hold.
constexpr char kSeparator = '\x1f';

std::string WithoutSeparator(absl::string_view text) {
  std::string copy(text);
  for (char& c : copy) {
    if (c == kSeparator) c = ' ';
  }
  return copy;
}

}  // namespace

absl::string_view ReasonName(Reason reason) { return kNames[static_cast<size_t>(reason)].second; }

Reason ReasonFromName(absl::string_view name) {
  for (const auto& [reason, known] : kNames) {
    if (known == name) return reason;
  }
  return Reason::kUnspecified;
}

absl::Status MakeError(absl::StatusCode code, absl::string_view message,
                       const ErrorDetail& detail) {
  absl::Status status(code, message);
  const std::string retry =
      detail.retry_after ? absl::StrCat(absl::ToInt64Milliseconds(*detail.retry_after)) : "";
  const std::string separator(1, kSeparator);
  status.SetPayload(
      kPayloadUrl,
      absl::Cord(absl::StrCat(ReasonName(detail.reason), separator, WithoutSeparator(detail.field),
                              separator, WithoutSeparator(detail.limit), separator,
                              WithoutSeparator(detail.actual), separator, retry)));
  return status;
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string text(*payload);
  const std::vector<std::string> parts = absl::StrSplit(text, kSeparator);
  if (parts.size() != 5) return std::nullopt;
  ErrorDetail detail{.reason = ReasonFromName(parts[0]),
                     .field = parts[1],
                     .limit = parts[2],
                     .actual = parts[3],
                     .retry_after = std::nullopt};
  int64_t milliseconds = 0;
  if (absl::SimpleAtoi(parts[4], &milliseconds)) {
    detail.retry_after = absl::Milliseconds(milliseconds);
  }
  return detail;
}

Reason GetReason(const absl::Status& status) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  return detail ? detail->reason : Reason::kUnspecified;
}

absl::Status InvalidField(Reason reason, absl::string_view field, absl::string_view limit,
                          absl::string_view actual) {
  return MakeError(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat(field, field.empty() ? "" : ": ", "found ", actual, ", allowed is ", limit),
      {.reason = reason,
       .field = std::string(field),
       .limit = std::string(limit),
       .actual = std::string(actual),
       .retry_after = std::nullopt});
}

absl::Status PrefixField(const absl::Status& status, absl::string_view prefix) {
  std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (!detail) return status;
  absl::string_view message = status.message();
  std::string path = std::string(prefix);
  if (!detail->field.empty()) absl::StrAppend(&path, ".", detail->field);
  // InvalidField starts its message with the field; the longer path takes that place.
  const std::string old_head = detail->field.empty() ? "" : absl::StrCat(detail->field, ": ");
  if (message.substr(0, old_head.size()) == old_head) message.remove_prefix(old_head.size());
  detail->field = path;
  return MakeError(status.code(), absl::StrCat(path, ": ", message), *detail);
}

}  // namespace cleave
