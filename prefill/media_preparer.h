// Decodes the media of jobs beside the engine, so that a large picture delays its own request only.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
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

  // Takes hold of the job's files, so that they stay until it has been prepared. QUEUE_FULL when
  // jobs_max wait already, MEDIA_NOT_UPLOADED. Jobs without media pass at once, on the calling
  // thread.
  absl::Status Submit(PrefillJob job);
  // Runs `action` on the preparer's thread behind everything submitted so far: a cancellation must
  // not overtake its job.
  void After(std::function<void()> action);
  // Every job that was taken has been handed to `done`.
  bool idle() const { return jobs_ == 0; }

 private:
  using File = std::shared_ptr<const std::string>;  // shared with the store
  struct Item {
    PrefillJob job;
    std::vector<File> files;       // in the order of the request's media
    std::function<void()> action;  // set: there is no job
  };
  void Run();
  absl::StatusOr<std::vector<File>> Fetch(const SequenceRequest& request);
  absl::Status Prepare(PrefillJob& job, absl::Span<const File> files);

  MediaStore& store_;
  const MediaLimits limits_;
  const Clock& clock_;
  const Done done_;
  Mailbox<Item> inbox_;
  std::atomic<int> jobs_{0};  // taken and not handed on
  std::thread thread_;
};

}  // namespace cleave
