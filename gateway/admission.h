// How much this gateway takes on at once.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace cleave {

struct AdmissionLimits {
  int requests_max = 256;                        // open at once
  int64_t queued_tokens_max = int64_t{1} << 20;  // of prompts that have no first token yet
  // Of all open requests: messages that are not parsed yet, pictures and sounds of those that are.
  int64_t request_bytes_max = int64_t{1} << 30;
};

class Admission;

// A request's share, given back when this is destroyed. Move-only; outlived by its Admission.
class AdmissionSlot {
 public:
  AdmissionSlot() = default;
  AdmissionSlot(AdmissionSlot&& other) noexcept { *this = std::move(other); }
  AdmissionSlot& operator=(AdmissionSlot&& other) noexcept;
  ~AdmissionSlot() { Release(); }

  // The message is parsed; from here on its media are held, which were a part of it.
  // RESOURCE_EXHAUSTED (QUEUE_FULL), changing nothing, when there is no room for the prompt now.
  // One that is longer than the whole limit is taken when nothing else is queued. Once.
  absl::Status Queue(int64_t prompt_tokens, int64_t media_bytes);
  // The prompt is computed and no longer counts as queued.
  void LeaveQueue();
  void Release();
  bool is_open() const { return admission_ != nullptr; }

 private:
  friend class Admission;
  AdmissionSlot(Admission* admission, int64_t bytes) : admission_(admission), bytes_(bytes) {}
  Admission* admission_ = nullptr;
  int64_t queued_tokens_ = 0;
  int64_t bytes_ = 0;
};

// Thread-safe.
class Admission {
 public:
  explicit Admission(const AdmissionLimits& limits) : limits_(limits) {}

  // QUEUE_FULL when as many requests are open, or as many bytes held, as may be; DRAINING after
  // Close.
  absl::StatusOr<AdmissionSlot> Enter(int64_t message_bytes);
  // Takes nothing new from here on.
  void Close();
  // Waits until no request is open. False when `timeout` was not enough.
  bool WaitUntilIdle(absl::Duration timeout, const Clock& clock);

  int requests() const;
  int64_t queued_tokens() const;

 private:
  friend class AdmissionSlot;

  const AdmissionLimits limits_;
  mutable Mutex mutex_;
  CondVar idle_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int requests_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t queued_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace cleave
