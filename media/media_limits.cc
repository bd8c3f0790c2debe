#include "media/media_limits.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Up to here a product of any two checked numbers stays far inside 64 bits.
constexpr int64_t kBytesHardMax = int64_t{1} << 30;
constexpr int64_t kSideHardMax = 65'535;
constexpr int64_t kPixelsHardMax = int64_t{1} << 28;
constexpr int64_t kChannelsHardMax = 64;
constexpr int64_t kRateHardMax = 768'000;

absl::Status InRange(absl::string_view field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return InvalidField(Reason::kFieldInvalid, field, absl::StrCat(min, " to ", max),
                      absl::StrCat(value));
}

absl::Status AtMost(absl::string_view field, int64_t actual, int64_t max, absl::string_view unit) {
  if (actual <= max) return absl::OkStatus();
  return InvalidField(Reason::kMediaLimit, field, absl::StrCat("at most ", max, unit),
                      absl::StrCat(actual, unit));
}

}  // namespace

absl::Status ValidateMediaLimits(const MediaLimits& limits) {
  RETURN_IF_ERROR(InRange("image_bytes_max", limits.image_bytes_max, 1, kBytesHardMax));
  RETURN_IF_ERROR(InRange("image_side_max", limits.image_side_max, 1, kSideHardMax));
  RETURN_IF_ERROR(InRange("image_pixels_max", limits.image_pixels_max, 1, kPixelsHardMax));
  RETURN_IF_ERROR(InRange("audio_bytes_max", limits.audio_bytes_max, 1, kBytesHardMax));
  RETURN_IF_ERROR(InRange("audio_seconds_max", limits.audio_seconds_max, 1, kAudioSecondsHardMax));
  RETURN_IF_ERROR(InRange("audio_channels_max", limits.audio_channels_max, 1, kChannelsHardMax));
  RETURN_IF_ERROR(InRange("audio_rate_max", limits.audio_rate_max, 1, kRateHardMax));
  return InRange("audio_rate_min", limits.audio_rate_min, 1, limits.audio_rate_max);
}

absl::Status CheckImageBytes(int64_t bytes, const MediaLimits& limits) {
  return AtMost("image.bytes", bytes, limits.image_bytes_max, " bytes");
}

absl::Status CheckImageSize(int64_t width, int64_t height, const MediaLimits& limits) {
  RETURN_IF_ERROR(AtMost("image.width", width, limits.image_side_max, " pixels"));
  RETURN_IF_ERROR(AtMost("image.height", height, limits.image_side_max, " pixels"));
  return AtMost("image.pixels", width * height, limits.image_pixels_max, " pixels");
}

absl::Status CheckAudioBytes(int64_t bytes, const MediaLimits& limits) {
  return AtMost("audio.bytes", bytes, limits.audio_bytes_max, " bytes");
}

absl::Status CheckAudioFormat(int64_t channels, int64_t sample_rate, const MediaLimits& limits) {
  RETURN_IF_ERROR(AtMost("audio.channels", channels, limits.audio_channels_max, ""));
  if (channels < 1) {
    return InvalidField(Reason::kMediaLimit, "audio.channels", "at least 1",
                        absl::StrCat(channels));
  }
  if (sample_rate >= limits.audio_rate_min && sample_rate <= limits.audio_rate_max) {
    return absl::OkStatus();
  }
  return InvalidField(Reason::kMediaLimit, "audio.sample_rate",
                      absl::StrCat(limits.audio_rate_min, " to ", limits.audio_rate_max, " Hz"),
                      absl::StrCat(sample_rate, " Hz"));
}

absl::Status CheckAudioLength(int64_t frames, int64_t sample_rate, const MediaLimits& limits) {
  if (frames <= limits.audio_seconds_max * sample_rate) return absl::OkStatus();
  // Rounded up, so that one sample too many reads as more than the limit.
  const int64_t milliseconds = (frames * 1000 + sample_rate - 1) / sample_rate;
  return InvalidField(Reason::kMediaLimit, "audio.seconds",
                      absl::StrCat("at most ", limits.audio_seconds_max, " s"),
                      absl::StrFormat("%d.%03d s", milliseconds / 1000, milliseconds % 1000));
}

}  // namespace cleave
