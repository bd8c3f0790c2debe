// Makes compressed sound files for the media tests, in memory, with libsndfile's encoders.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "media/audio_probe.h"

namespace cleave::media_test {

struct SoundOptions {
  int channels = 1;
  int sample_rate = 16000;  // of Opus 8000, 12000, 16000, 24000 or 48000
  int flac_bits = 16;       // 8, 16 or 24
};
// samples: [frames, channels], full scale 1. Any kind but WAV.
std::string SoundFile(AudioKind kind, const std::vector<float>& samples,
                      const SoundOptions& options = {});

// A tone of 440 Hz, [frames, channels], each channel a little quieter than the one before.
std::vector<float> Tone(int64_t frames, const SoundOptions& options = {});

// The pages of an Ogg file.
std::vector<std::string> OggPages(absl::string_view file);
// Pages to a file, with right checksums.
std::string JoinOggPages(const std::vector<std::string>& pages);
// Sets the position that a page states.
void SetOggPosition(int64_t position, std::string& page);
int64_t OggPosition(absl::string_view page);

}  // namespace cleave::media_test
