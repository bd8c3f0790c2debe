#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "media/video_frames.h"
#include "runtime/base/status.h"
#include "tests/golden/layout_check.h"

namespace cleave::golden {
namespace {

absl::StatusOr<double> ReadFps(const JsonValue& video) {
  if (!video.Has("fps")) return kVideoFpsDefault;  // null: nobody knows
  return video.Double("fps");
}

absl::Status CheckVideo(const JsonValue& video, Report& report) {
  ASSIGN_OR_RETURN(const int64_t total, video.Int("total_frames"));
  ASSIGN_OR_RETURN(const int64_t requested, video.Int("requested"));
  ASSIGN_OR_RETURN(const double fps, ReadFps(video));
  const std::vector<int> seen = SampleFrames(static_cast<int>(total), static_cast<int>(requested));
  if (video.Has("error")) {
    report.Exact("all frames", seen.size() == static_cast<size_t>(total), "another number");
    report.Note(absl::StrCat("declared deviation: of a video of ", total, " frames all are seen, ",
                             "where the reference refuses to give ", requested));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const JsonValue indices, video.Member("indices"));
  ASSIGN_OR_RETURN(const JsonValue timestamps, video.Member("timestamps"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> expected, indices.AsArray());
  ASSIGN_OR_RETURN(const std::vector<JsonValue> times, timestamps.AsArray());
  bool indices_equal = expected.size() == seen.size();
  bool times_equal = times.size() == seen.size();
  for (size_t i = 0; i < seen.size() && indices_equal && times_equal; ++i) {
    ASSIGN_OR_RETURN(const int64_t index, expected[i].AsInt({0, 1 << 30}));
    ASSIGN_OR_RETURN(const absl::string_view time, times[i].AsString());
    const int seconds = WholeSeconds(FrameSeconds(seen[i], fps));
    indices_equal = index == seen[i];
    times_equal = time == absl::StrFormat("%02d:%02d", seconds / 60, seconds % 60);
  }
  report.Exact("frames", indices_equal, "other frames");
  report.Exact("times", times_equal, "other times");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckVideos(const JsonValue& videos, Report& report) {
  ASSIGN_OR_RETURN(const std::vector<JsonValue> list, videos.AsArray());
  for (size_t i = 0; i < list.size(); ++i) {
    report.Case(absl::StrCat("video ", i));
    const absl::Status status = CheckVideo(list[i], report);
    if (!status.ok()) report.Exact("read", false, status.ToString());
  }
  return absl::OkStatus();
}

}  // namespace cleave::golden
