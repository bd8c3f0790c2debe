#include "gateway/video_request.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "media/video_frames.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr double kFpsMin = 0.001, kFpsMax = 1000;

absl::StatusOr<int> CountFrames(const std::string& field, const v1::Video& video,
                                const RequestLimits& limits) {
  const int count = video.frames_size();
  if (count == 0) return InvalidField(Reason::kFieldInvalid, field, "at least 1", "none");
  if (count > limits.video_frames_max) {
    return InvalidField(Reason::kMediaLimit, field,
                        absl::StrCat("at most ", limits.video_frames_max, " frames"),
                        absl::StrCat(count, " frames"));
  }
  return count;
}

absl::StatusOr<double> ReadFps(const std::string& field, const v1::Video& video) {
  if (!video.has_fps()) return kVideoFpsDefault;
  // Written so that NaN fails.
  if (video.fps() >= kFpsMin && video.fps() <= kFpsMax) return video.fps();
  return InvalidField(Reason::kFieldInvalid, field, absl::StrCat(kFpsMin, " to ", kFpsMax),
                      absl::StrCat(video.fps()));
}

absl::StatusOr<int> ReadFramesMax(const std::string& field, const v1::Video& video,
                                  const RequestLimits& limits) {
  if (!video.has_frames_max()) return std::min(kVideoFramesDefault, limits.video_frames_seen_max);
  const int64_t frames = video.frames_max();
  if (frames >= 1 && frames <= limits.video_frames_seen_max) return static_cast<int>(frames);
  return InvalidField(Reason::kFieldInvalid, field,
                      absl::StrCat("1 to ", limits.video_frames_seen_max), absl::StrCat(frames));
}

// The frame's time, given or by its index.
absl::StatusOr<double> ReadSeconds(const std::string& field, const v1::VideoFrame& frame, int index,
                                   double fps, const RequestLimits& limits) {
  const double seconds = frame.has_seconds() ? frame.seconds() : FrameSeconds(index, fps);
  if (seconds >= 0 && seconds <= static_cast<double>(limits.video_seconds_max)) return seconds;
  return InvalidField(Reason::kFieldInvalid, field,
                      absl::StrCat("0 to ", limits.video_seconds_max, " s"),
                      absl::StrCat(seconds, " s"));
}

// Times of all frames; they must not go back.
absl::StatusOr<std::vector<int>> ReadTimes(const std::string& field, const v1::Video& video,
                                           double fps, const RequestLimits& limits) {
  std::vector<int> times;
  double before = 0;
  for (int i = 0; i < video.frames_size(); ++i) {
    const std::string path = absl::StrCat(field, "[", i, "].seconds");
    ASSIGN_OR_RETURN(const double seconds, ReadSeconds(path, video.frames(i), i, fps, limits));
    if (seconds < before) {
      return InvalidField(Reason::kFieldInvalid, path,
                          absl::StrCat("at least ", before, " s, as the frame before"),
                          absl::StrCat(seconds, " s"));
    }
    before = seconds;
    times.push_back(WholeSeconds(seconds));
  }
  return times;
}

}  // namespace

absl::StatusOr<MediaInput> ReadVideo(const std::string& field, v1::Video& video, int token_budget,
                                     const RequestLimits& limits) {
  const std::string frames = absl::StrCat(field, ".frames");
  ASSIGN_OR_RETURN(const int total, CountFrames(frames, video, limits));
  ASSIGN_OR_RETURN(const double fps, ReadFps(absl::StrCat(field, ".fps"), video));
  ASSIGN_OR_RETURN(const int frames_max,
                   ReadFramesMax(absl::StrCat(field, ".frames_max"), video, limits));
  ASSIGN_OR_RETURN(const std::vector<int> times, ReadTimes(frames, video, fps, limits));
  MediaInput input{.kind = MediaKind::kVideo,
                   .field = field,
                   .bytes = nullptr,
                   .image_token_budget = token_budget};
  for (int i = 0; i < total; ++i) {
    if (video.frames(i).has_data()) continue;
    return InvalidField(Reason::kFieldInvalid, absl::StrCat(frames, "[", i, "].data"),
                        "a JPEG, PNG, WebP or GIF file", "nothing");
  }
  for (const int i : SampleFrames(total, frames_max)) {
    std::string& bytes = *video.mutable_frames(i)->mutable_data();
    input.frames.push_back({.field = absl::StrCat(frames, "[", i, "].data"),
                            .bytes = std::make_shared<const std::string>(std::move(bytes)),
                            .seconds = times[static_cast<size_t>(i)]});
  }
  return input;
}

}  // namespace cleave
