// A decoder of one sound file, a piece at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "media/audio_probe.h"

namespace cleave {

// Reads the file's own frames from the first that is heard. Not thread-safe.
class SoundReader {
 public:
  virtual ~SoundReader() = default;
  // The next frames as floats, full scale being 1, into out [frames, channels]. Gives how many
  // there were: fewer than asked for at the end, or where the file is damaged.
  virtual int64_t Read(int64_t frames, float* out) = 0;
};

// libsndfile for WAV and FLAC, libvorbisfile, libopusfile, libmpg123. `info` is what ProbeAudio
// says of `file`, which outlives the reader. Null when the file is damaged or not as `info` says.
std::unique_ptr<SoundReader> OpenSndfile(const AudioInfo& info, absl::string_view file);
std::unique_ptr<SoundReader> OpenVorbis(const AudioInfo& info, absl::string_view file);
std::unique_ptr<SoundReader> OpenOpus(const AudioInfo& info, absl::string_view file);
std::unique_ptr<SoundReader> OpenMp3(const AudioInfo& info, absl::string_view file);

}  // namespace cleave
