// Decodes the media of jobs beside the engine, so that a large picture delays its own request only.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "media/media_limits.h"
#include "prefill/media_store.h"
#include "prefill/prefill_job.h"
#include "runtime/base/clock.h"
#include "runtime/base/mailbox.h"

namespace cleave {

// Owns one thread, "media". Jobs leave in the order they came.
class MediaPreparer {
 public:
  using Done = std::function<void(PrefillJob job, absl::Status status)>;

  // `done` is called on the preparer's thread with each job: with its media decoded, or with why
  // not. Everything outlives the preparer.
  MediaPreparer(MediaStore& store, const MediaLimits& limits, const Clock& clock, int jobs_max,
                Done done);
  // Finishes what is queued.
  ~MediaPreparer();

  // False: jobs_max wait already. Jobs without media pass at once, on the calling thread.
  bool Submit(PrefillJob&& job);
  // Runs `action` on the preparer's thread behind everything submitted so far: a cancellation must
  // not overtake its job.
  void After(std::function<void()> action);

 private:
  struct Item {
    PrefillJob job;
    std::function<void()> action;  // set: there is no job
  };
  void Run();
  absl::Status Prepare(PrefillJob& job);

  MediaStore& store_;
  const MediaLimits limits_;
  const Clock& clock_;
  const Done done_;
  Mailbox<Item> inbox_;
  std::thread thread_;
};

}  // namespace cleave
