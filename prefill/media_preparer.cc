#include "prefill/media_preparer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_name.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

constexpr absl::Duration kRetryAfter = absl::Milliseconds(100);

absl::StatusOr<PreparedMedia> Decode(const SoftSpan& span, absl::string_view file,
                                     const MediaLimits& limits) {
  PreparedMedia media;
  int64_t tokens = 0;
  if (IsPicture(span.kind)) {
    ASSIGN_OR_RETURN(media.image, PrepareImage(file, span.image_token_budget, limits));
    tokens = media.image.count();
  } else {
    ASSIGN_OR_RETURN(media.audio, PrepareAudio(file, limits));
    tokens = media.audio.count();
  }
  // The gateway counted from the header. A span of another length would shift the prompt.
  if (tokens != span.tokens) {
    return InvalidField(Reason::kMediaUndecodable, "tokens", absl::StrCat(tokens),
                        absl::StrCat(span.tokens));
  }
  return media;
}

}  // namespace

MediaPreparer::MediaPreparer(MediaStore& store, const MediaLimits& limits, const Clock& clock,
                             int jobs_max, Done done)
    : store_(store),
      limits_(limits),
      clock_(clock),
      done_(std::move(done)),
      inbox_(static_cast<size_t>(jobs_max)),
      thread_([this] { Run(); }) {}

MediaPreparer::~MediaPreparer() {
  inbox_.Close();
  thread_.join();
}

absl::Status MediaPreparer::Submit(PrefillJob job) {
  if (job.request.media.empty()) {
    done_(std::move(job), absl::OkStatus());
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::vector<File> files, Fetch(job.request));
  ++jobs_;
  if (inbox_.Push(Item{.job = std::move(job), .files = std::move(files)})) {
    return absl::OkStatus();
  }
  --jobs_;
  return LinkError(Reason::kQueueFull, "too many requests with media wait", kRetryAfter);
}

absl::StatusOr<std::vector<MediaPreparer::File>> MediaPreparer::Fetch(
    const SequenceRequest& request) {
  std::vector<File> files;
  for (size_t i = 0; i < request.media.size(); ++i) {
    files.push_back(store_.Get(request.media[i].content_hash));
    if (files.back() != nullptr) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("media[", i, "] was not brought, or has left the store"),
                     {.reason = Reason::kMediaNotUploaded,
                      .field = absl::StrCat("media[", i, "]"),
                      .limit = "",
                      .actual = "",
                      .retry_after = std::nullopt});
  }
  return files;
}

void MediaPreparer::After(std::function<void()> action) {
  inbox_.PushAlways(Item{.action = std::move(action)});
}

void MediaPreparer::Run() {
  NameThisThread("media");
  std::vector<Item> items;
  bool closed = false;
  while (!closed) {
    closed = inbox_.closed();
    inbox_.TakeAll(items, absl::InfiniteDuration());
    for (auto& [job, files, action] : items) {
      if (action) {
        action();
        continue;
      }
      const absl::Time begin = clock_.Now();
      const absl::Status status = Prepare(job, files);
      files.clear();
      job.media_time = clock_.Now() - begin;
      done_(std::move(job), status);
      --jobs_;
    }
  }
}

absl::Status MediaPreparer::Prepare(PrefillJob& job, absl::Span<const File> files) {
  for (size_t i = 0; i < files.size(); ++i) {
    absl::StatusOr<PreparedMedia> media = Decode(job.request.media[i], *files[i], limits_);
    if (!media.ok()) return PrefixField(media.status(), absl::StrCat("media[", i, "]"));
    job.media.push_back(*std::move(media));
  }
  return absl::OkStatus();
}

}  // namespace cleave
