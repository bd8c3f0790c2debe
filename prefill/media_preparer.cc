#include "prefill/media_preparer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::StatusOr<PreparedMedia> Decode(const MediaSpan& span, absl::string_view file,
                                     const MediaLimits& limits) {
  PreparedMedia media;
  int64_t tokens = 0;
  if (span.kind == MediaKind::kImage) {
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

bool MediaPreparer::Submit(PrefillJob&& job) {
  if (!job.request.media.empty()) {
    Item item{.job = std::move(job)};
    if (inbox_.Push(std::move(item))) return true;
    job = std::move(item.job);
    return false;
  }
  done_(std::move(job), absl::OkStatus());
  return true;
}

void MediaPreparer::After(std::function<void()> action) {
  inbox_.PushAlways(Item{.action = std::move(action)});
}

void MediaPreparer::Run() {
  std::vector<Item> items;
  bool closed = false;
  while (!closed) {
    closed = inbox_.closed();
    inbox_.TakeAll(items, absl::InfiniteDuration());
    for (auto& [job, action] : items) {
      if (action) {
        action();
        continue;
      }
      const absl::Time begin = clock_.Now();
      const absl::Status status = Prepare(job);
      job.media_time = clock_.Now() - begin;
      done_(std::move(job), status);
    }
  }
}

absl::Status MediaPreparer::Prepare(PrefillJob& job) {
  for (size_t i = 0; i < job.request.media.size(); ++i) {
    const MediaSpan& span = job.request.media[i];
    const std::shared_ptr<const std::string> file = store_.Get(span.content_hash);
    if (file == nullptr) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("media[", i, "] was not brought, or has left the store"),
                       {.reason = Reason::kMediaNotUploaded,
                        .field = absl::StrCat("media[", i, "]"),
                        .limit = "",
                        .actual = "",
                        .retry_after = std::nullopt});
    }
    absl::StatusOr<PreparedMedia> media = Decode(span, *file, limits_);
    if (!media.ok()) return PrefixField(media.status(), absl::StrCat("media[", i, "]"));
    job.media.push_back(*std::move(media));
  }
  return absl::OkStatus();
}

}  // namespace cleave
