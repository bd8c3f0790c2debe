// The frames of MPEG audio, layer III (ISO/IEC 11172-3, 13818-3 and the unofficial 2.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace cleave {

struct Mp3Frame {
  int version;      // 1, 2, or 25
  int sample_rate;  // Hz
  int channels;     // 1 or 2
  bool has_checksum;
  size_t bytes;  // header included

  int samples() const { return version == 1 ? 1152 : 576; }  // of each channel
  // Where an encoder's header stands in a frame that holds one instead of sound.
  size_t info_at() const;
};

// The frame whose header is at `at`; absent when there is none. All of it may not be there.
std::optional<Mp3Frame> ReadMp3Frame(absl::string_view file, size_t at);

// What an encoder says of the whole, in the first frame.
struct Mp3Encoding {
  std::optional<int64_t> frames;  // that follow
  int64_t delay = 0;              // samples that the encoder has put before the sound
  int64_t padding = 0;            // and behind it
};
// Absent when the frame is sound.
std::optional<Mp3Encoding> ReadMp3Encoding(absl::string_view frame_bytes, const Mp3Frame& frame);

}  // namespace cleave
