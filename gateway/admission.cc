#include "gateway/admission.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/request_error.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

constexpr absl::Duration kRetryAfter = absl::Seconds(1);

absl::Status QueueFull(absl::string_view what, int64_t limit, int64_t actual) {
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("too much at once: ", actual, " ", what, ", at most ", limit),
                   {.reason = Reason::kQueueFull,
                    .field = "",
                    .limit = absl::StrCat("at most ", limit, " ", what),
                    .actual = absl::StrCat(actual, " ", what),
                    .retry_after = kRetryAfter});
}

}  // namespace

AdmissionSlot& AdmissionSlot::operator=(AdmissionSlot&& other) noexcept {
  Release();
  admission_ = std::exchange(other.admission_, nullptr);
  queued_tokens_ = std::exchange(other.queued_tokens_, 0);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

absl::Status AdmissionSlot::Queue(int64_t prompt_tokens, int64_t media_bytes) {
  MutexLock lock(admission_->mutex_);
  const int64_t tokens = admission_->queued_tokens_ + prompt_tokens;
  if (tokens > admission_->limits_.queued_tokens_max && admission_->queued_tokens_ > 0) {
    return QueueFull("queued prompt tokens", admission_->limits_.queued_tokens_max, tokens);
  }
  admission_->queued_tokens_ = tokens;
  queued_tokens_ = prompt_tokens;
  admission_->bytes_ += media_bytes - std::exchange(bytes_, media_bytes);
  return absl::OkStatus();
}

void AdmissionSlot::LeaveQueue() {
  if (admission_ == nullptr || queued_tokens_ == 0) return;
  MutexLock lock(admission_->mutex_);
  admission_->queued_tokens_ -= std::exchange(queued_tokens_, 0);
}

void AdmissionSlot::Release() {
  if (admission_ == nullptr) return;
  Admission& admission = *std::exchange(admission_, nullptr);
  MutexLock lock(admission.mutex_);
  admission.queued_tokens_ -= std::exchange(queued_tokens_, 0);
  admission.bytes_ -= std::exchange(bytes_, 0);
  if (--admission.requests_ == 0) admission.idle_.NotifyAll();
}

absl::StatusOr<AdmissionSlot> Admission::Enter(int64_t message_bytes) {
  MutexLock lock(mutex_);
  if (closed_) return Draining();
  if (requests_ >= limits_.requests_max) {
    return QueueFull("open requests", limits_.requests_max, requests_ + 1);
  }
  if (bytes_ + message_bytes > limits_.request_bytes_max) {
    return QueueFull("bytes of requests", limits_.request_bytes_max, bytes_ + message_bytes);
  }
  ++requests_;
  bytes_ += message_bytes;
  return AdmissionSlot(this, message_bytes);
}

void Admission::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

bool Admission::WaitUntilIdle(absl::Duration timeout, const Clock& clock) {
  const absl::Time give_up = clock.Now() + timeout;
  MutexLock lock(mutex_);
  while (requests_ > 0) {
    const absl::Duration left = give_up - clock.Now();
    if (left <= absl::ZeroDuration()) return false;
    idle_.WaitFor(mutex_, left);
  }
  return true;
}

int Admission::requests() const {
  MutexLock lock(mutex_);
  return requests_;
}

int64_t Admission::queued_tokens() const {
  MutexLock lock(mutex_);
  return queued_tokens_;
}

}  // namespace cleave
