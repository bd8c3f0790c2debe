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

enum class AudioKind { kWav, kFlac, kVorbis, kOpus, kMp3 };
// "Ogg Vorbis".
absl::string_view AudioKindName(AudioKind kind);

enum class SampleFormat { kPcm8, kPcm16, kPcm24, kPcm32, kFloat32, kFloat64 };

struct AudioInfo {
  AudioKind kind = AudioKind::kWav;
  SampleFormat format = SampleFormat::kPcm16;  // of a WAV file
  int channels = 0;
  int sample_rate = 0;      // Hz, at which the file is decoded; of Opus always 48000
  int64_t frames = 0;       // samples of each channel that are heard, at least 1
  int64_t data_offset = 0;  // bytes before the coded sound; of Ogg 0
  int64_t data_bytes = 0;   // of the coded sound
  int64_t skip_frames = 0;  // of MP3: decoded frames before the first that is heard

  // After resampling: ceil(frames * 16000 / sample_rate) samples, ceil(samples / 640) tokens.
  int64_t samples = 0;
  int64_t tokens = 0;
};

// Reads headers only and allocates nothing. A pure function; any thread. How the length is found:
//   WAV     by the bytes of the data chunk. A chunk that claims more than the file holds (as in
//           recordings written to a pipe) ends with the file; an incomplete last frame is dropped.
//   FLAC    by its STREAMINFO. A file that does not state its length is refused.
//   Ogg     by the position that the last page states, less an Opus stream's pre-skip. One stream
//           from its beginning; files that are chained, multiplexed or cut short are refused.
//   MP3     by walking the frames: layer III, one version, rate and number of channels. What a LAME
//           header says that the encoder has added is cut off at both ends, if its count of
//           frames is right; an incomplete last frame is dropped.
// A decoder that then finds another length refuses the file (audio_decode.h).
// Fails with INVALID_ARGUMENT and
//   Reason::kMediaLimit        file, channels, rate or seconds beyond `limits`;
//   Reason::kMediaUnsupported  a kind that is not read: AAC, AIFF, ADPCM, ...;
//   Reason::kMediaUndecodable  damaged, without samples or of no known kind.
absl::StatusOr<AudioInfo> ProbeAudio(absl::string_view file, const MediaLimits& limits);

}  // namespace cleave
