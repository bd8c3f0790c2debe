// What a sound file says of itself: enough to refuse it or to count its tokens without decoding.
// The gateway stops here; the decoder starts here, so both see the same length.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "media/media_limits.h"

namespace cleave {

inline constexpr int kAudioSampleRate = 16'000;  // Hz, what the model hears
inline constexpr int kAudioFrameSamples = 640;   // one frame is one token: 40 ms

enum class SampleFormat { kPcm8, kPcm16, kPcm24, kPcm32, kFloat32, kFloat64 };

struct AudioInfo {
  SampleFormat format;
  int channels;
  int sample_rate;      // Hz, of the file
  int64_t frames;       // samples of each channel, at least 1
  int64_t data_offset;  // bytes before the first sample
  int64_t data_bytes;   // of all whole frames

  // After resampling: ceil(frames * 16000 / sample_rate) samples, ceil(samples / 640) tokens.
  int64_t samples;
  int64_t tokens;
};

// Reads the headers of a WAV file only and allocates nothing. A pure function; any thread.
// Sizes in the file are not trusted: a data chunk that claims more than the file holds (as in
// recordings written to a pipe) ends with the file, and an incomplete last frame is dropped.
// Fails with INVALID_ARGUMENT and
//   Reason::kMediaLimit        file, channels, rate or seconds beyond `limits`;
//   Reason::kMediaUnsupported  a kind that is not read: FLAC, MP3, ADPCM, ...;
//   Reason::kMediaUndecodable  damaged, without samples or of no known kind.
absl::StatusOr<AudioInfo> ProbeAudio(absl::string_view file, const MediaLimits& limits);

}  // namespace cleave
