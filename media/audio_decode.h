// A sound file to what the audio embedder reads: 16 kHz mono in frames of 40 ms, one for each
// token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "media/audio_probe.h"
#include "media/media_limits.h"

namespace cleave {

// Samples beyond this are no sound (nominal full scale is 1) and are refused: their squares must
// stay finite in the embedder's norm.
inline constexpr float kSampleMagnitudeMax = 65'536.0f;

// Decodes `file` to mono at 16 kHz: the mean of the channels, resampled when the file has another
// rate, never rescaled or clipped. Integer samples are exact fractions of full scale (int16 /
// 32768). Gives exactly the number of samples ProbeAudio states, and fails whenever that fails;
// further with Reason::kMediaUndecodable when the file is damaged or turns out shorter, and for
// samples that are not finite or beyond kSampleMagnitudeMax. A pure function; any thread. Memory:
// the result, a small buffer and the decoder's own, which no header can make large.
absl::StatusOr<std::vector<float>> DecodeAudio(absl::string_view file, const MediaLimits& limits);

struct AudioFrames {
  // [count, 640]; the last frame is filled up with zeros.
  std::vector<float> frames;

  int count() const { return static_cast<int>(frames.size() / kAudioFrameSamples); }
  absl::Span<const float> frame(int index) const {
    return absl::MakeConstSpan(frames).subspan(static_cast<size_t>(index) * kAudioFrameSamples,
                                               kAudioFrameSamples);
  }
};

// DecodeAudio, cut into frames. count() is the number of tokens ProbeAudio states.
absl::StatusOr<AudioFrames> PrepareAudio(absl::string_view file, const MediaLimits& limits);

}  // namespace cleave
