#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "media/audio_formats.h"
#include "media/byte_view.h"
#include "media/media_error.h"
#include "media/mp3_frames.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// What decoding itself delays the sound by, in samples.
constexpr int64_t kDecoderDelay = 529;

// The place behind the ID3v2 tags and zeros at `at`.
size_t BehindTags(absl::string_view file, size_t at) {
  constexpr size_t kTagHeadBytes = 10;
  while (at < file.size()) {
    const absl::string_view rest = file.substr(at);
    if (rest[0] == 0) {
      at = std::min(file.find_first_not_of('\0', at), file.size());
    } else if (HasMagic(rest, 0, "ID3") && rest.size() >= kTagHeadBytes) {
      size_t bytes = 0;
      for (size_t i = 6; i < kTagHeadBytes; ++i) bytes = bytes << 7 | (rest[i] & 0x7f);
      const bool has_footer = (rest[5] & 0x10) != 0;
      bytes += kTagHeadBytes + (has_footer ? kTagHeadBytes : 0);
      at += std::min(bytes, rest.size());
    } else {
      break;
    }
  }
  return at;
}

// What may follow the last frame: nothing, zeros, tags, or the beginning of a frame.
bool MayFollow(absl::string_view rest) {
  if (rest.find_first_not_of('\0') == absl::string_view::npos) return true;
  if (rest.size() < 4) return static_cast<uint8_t>(rest[0]) == 0xff;
  for (const absl::string_view tag : {"TAG", "ID3", "APETAGEX", "LYRICSBEGIN"}) {
    if (HasMagic(rest, 0, tag)) return true;
  }
  const std::optional<Mp3Frame> frame = ReadMp3Frame(rest, 0);
  return frame && frame->bytes > rest.size();
}

absl::Status Damaged() { return AudioUndecodable("an MP3 file that is damaged"); }

struct Frames {
  int64_t count = 0;
  size_t end = 0;  // behind the last whole one
};

// The whole frames from `at` on that are like `first`. Stops when there are more than `count_max`.
Frames CountFrames(absl::string_view file, size_t at, const Mp3Frame& first, int64_t count_max) {
  Frames frames{.count = 0, .end = at};
  while (frames.count <= count_max) {
    const std::optional<Mp3Frame> frame = ReadMp3Frame(file, frames.end);
    if (!frame || frame->version != first.version || frame->sample_rate != first.sample_rate ||
        frame->channels != first.channels || frame->bytes > file.size() - frames.end) {
      break;
    }
    ++frames.count;
    frames.end += frame->bytes;
  }
  return frames;
}

}  // namespace

bool LooksLikeMp3(absl::string_view file) {
  return HasMagic(file, 0, "ID3") || ReadMp3Frame(file, 0).has_value();
}

absl::StatusOr<AudioInfo> ProbeMp3(absl::string_view file, const MediaLimits& limits) {
  size_t at = BehindTags(file, 0);
  const std::optional<Mp3Frame> first = ReadMp3Frame(file, at);
  if (!first) return Damaged();
  RETURN_IF_ERROR(CheckAudioFormat(first->channels, first->sample_rate, limits));
  const std::optional<Mp3Encoding> encoding =
      ReadMp3Encoding(file.substr(at, first->bytes), *first);
  if (encoding) at += std::min(first->bytes, file.size() - at);
  // As many as the longest sound has, and those that a delay and padding of 12 bits can fill.
  const int64_t count_max =
      limits.audio_seconds_max * first->sample_rate / first->samples() + 2 * 0xfff / 576 + 2;
  const Frames frames = CountFrames(file, at, *first, count_max);
  if (frames.count <= count_max && !MayFollow(file.substr(frames.end))) return Damaged();
  int64_t heard = frames.count * first->samples();
  int64_t skip = 0;
  if (encoding && encoding->frames) {
    skip = encoding->delay + kDecoderDelay;
    // Of a file that was cut short the end is sound, not padding.
    const bool is_whole = *encoding->frames == frames.count;
    heard -= skip + (is_whole ? std::max<int64_t>(encoding->padding - kDecoderDelay, 0) : 0);
  }
  return Described({.kind = AudioKind::kMp3,
                    .channels = first->channels,
                    .sample_rate = first->sample_rate,
                    .frames = heard,
                    .data_offset = static_cast<int64_t>(at),
                    .data_bytes = static_cast<int64_t>(frames.end - at),
                    .skip_frames = skip},
                   limits);
}

}  // namespace cleave
