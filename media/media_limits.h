// What one picture or sound may cost. Every limit is about the decoded thing or the file as sent,
// is read from headers, and is enforced before memory is taken for what it bounds.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace cleave {

// The longest sound any configuration may allow, in seconds.
inline constexpr int64_t kAudioSecondsHardMax = 600;

struct MediaLimits {
  int64_t image_bytes_max = int64_t{20} << 20;  // the file as sent
  int64_t image_side_max = 16384;               // pixels, width or height
  int64_t image_pixels_max = 40'000'000;        // width * height; 3 bytes each once decoded

  int64_t audio_bytes_max = int64_t{50} << 20;  // the file as sent
  int64_t audio_seconds_max = 30;               // at most kAudioSecondsHardMax
  int64_t audio_channels_max = 8;
  int64_t audio_rate_min = 8'000;    // Hz
  int64_t audio_rate_max = 192'000;  // Hz
};

// Whether a configuration makes sense: INVALID_ARGUMENT with Reason::kFieldInvalid names the first
// value that does not. The checks below rely on it.
absl::Status ValidateMediaLimits(const MediaLimits& limits);

// The checks themselves. Each fails with INVALID_ARGUMENT and Reason::kMediaLimit; the field is
// relative ("image.width", "audio.seconds"), the caller puts its own path before it (PrefixField).
absl::Status CheckImageBytes(int64_t bytes, const MediaLimits& limits);
absl::Status CheckImageSize(int64_t width, int64_t height, const MediaLimits& limits);
absl::Status CheckAudioBytes(int64_t bytes, const MediaLimits& limits);
absl::Status CheckAudioFormat(int64_t channels, int64_t sample_rate, const MediaLimits& limits);
// `frames` samples of every channel at `sample_rate` Hz; a sound of exactly the limit is allowed.
absl::Status CheckAudioLength(int64_t frames, int64_t sample_rate, const MediaLimits& limits);

}  // namespace cleave
