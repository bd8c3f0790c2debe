#include "gateway/request_error.h"

#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/generation.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

constexpr absl::Duration kWorkerRetry = absl::Seconds(1);
constexpr absl::Duration kDrainRetry = absl::Milliseconds(200);  // at another gateway

absl::Status Unavailable(absl::string_view message, Reason reason, absl::Duration retry_after) {
  return MakeError(
      absl::StatusCode::kUnavailable, message,
      {.reason = reason, .field = "", .limit = "", .actual = "", .retry_after = retry_after});
}

absl::Status Plain(absl::StatusCode code, absl::string_view message, Reason reason) {
  return MakeError(
      code, message,
      {.reason = reason, .field = "", .limit = "", .actual = "", .retry_after = std::nullopt});
}

// The item that a field like "media[1].image.width" or "image" means; null when that is not clear.
const MediaItem* FindItem(absl::string_view field, const std::vector<MediaItem>& media) {
  if (absl::StartsWith(field, "media[")) {
    const absl::string_view rest = field.substr(6);
    size_t index = 0;
    if (!absl::SimpleAtoi(rest.substr(0, rest.find(']')), &index)) return nullptr;
    return index < media.size() ? &media[index] : nullptr;
  }
  const MediaItem* found = nullptr;
  for (const MediaItem& item : media) {
    const absl::string_view kind = item.kind == MediaKind::kAudio ? "audio" : "image";
    if (!absl::StartsWith(field, kind)) continue;
    if (found != nullptr) return nullptr;
    found = &item;
  }
  return found;
}

}  // namespace

absl::Status NoPrefillWorker() {
  return Unavailable("no prefill worker is ready", Reason::kNoPrefillWorker, kWorkerRetry);
}
absl::Status NoDecodeWorker() {
  return Unavailable("no decode worker is ready", Reason::kNoDecodeWorker, kWorkerRetry);
}
absl::Status WorkerMismatch() {
  return Unavailable("no two ready workers share build, weights, KV layout and arithmetic",
                     Reason::kWorkerMismatch, kWorkerRetry);
}
absl::Status Draining() {
  return Unavailable("this gateway is shutting down", Reason::kDraining, kDrainRetry);
}

absl::Status WorkerLost(absl::string_view role) {
  return Plain(absl::StatusCode::kAborted,
               absl::StrCat("the ", role, " worker died while it held this request"),
               Reason::kWorkerLost);
}

absl::Status DeadlineError(GenerationPhase phase) {
  const auto error = [](absl::string_view when, Reason reason) {
    return Plain(absl::StatusCode::kDeadlineExceeded, absl::StrCat("the deadline passed ", when),
                 reason);
  };
  switch (phase) {
    case GenerationPhase::kQueue:
      return error("before the prefill worker had the request", Reason::kQueueDeadline);
    case GenerationPhase::kPrefill:
      return error("before the first token", Reason::kPrefillDeadline);
    case GenerationPhase::kTransfer:
      return error("after the first token, before decoding began", Reason::kTransferDeadline);
    case GenerationPhase::kDecode:
      break;
  }
  return error("while the answer was generated", Reason::kDecodeDeadline);
}

absl::Status CancelledByClient() {
  return Plain(absl::StatusCode::kCancelled, "cancelled by the client", Reason::kCancelled);
}

absl::Status InvariantError(absl::string_view what) {
  return Plain(absl::StatusCode::kInternal, what, Reason::kInvariant);
}

absl::Status WorkerError(const absl::Status& status) {
  if (GetReason(status) != Reason::kUnspecified) return status;
  return InvariantError("a worker failed in a way it did not explain");
}

absl::Status UploadError(const absl::Status& status) {
  if (GetReason(status) != Reason::kUnspecified) return status;
  if (absl::IsUnavailable(status) || absl::IsCancelled(status)) return WorkerLost("prefill");
  if (absl::IsDeadlineExceeded(status)) return DeadlineError(GenerationPhase::kQueue);
  return WorkerError(status);
}

absl::Status WithRequestField(const absl::Status& status, const std::vector<MediaItem>& media) {
  std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (!detail || detail->field.empty()) return status;
  const MediaItem* item = FindItem(detail->field, media);
  if (item == nullptr) return status;
  absl::string_view message = status.message();
  const std::string head = absl::StrCat(detail->field, ": ");
  if (absl::StartsWith(message, head)) message.remove_prefix(head.size());
  detail->field = item->field;
  return MakeError(status.code(), absl::StrCat(item->field, ": ", message), *detail);
}

}  // namespace cleave
