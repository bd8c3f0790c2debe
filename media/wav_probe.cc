// WAV: RIFF chunks, formats as in mmreg.h.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "media/audio_formats.h"
#include "media/byte_view.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Format tags of the "fmt " chunk (mmreg.h).
constexpr uint16_t kTagPcm = 1;
constexpr uint16_t kTagFloat = 3;
constexpr uint16_t kTagExtensible = 0xfffe;

constexpr size_t kRiffHeadBytes = 12;  // "RIFF", size, "WAVE"
constexpr size_t kChunkHeadBytes = 8;  // name, size
constexpr size_t kFormatBytes = 16;    // tag, channels, rate, bytes a second, block, bits
constexpr size_t kSubformatAt = 24;    // in an extensible format: a GUID that starts with a tag
constexpr uint32_t kSizeUnknown = 0xffffffff;
// The 14 bytes after the tag in the GUIDs of the formats that have a tag.
constexpr absl::string_view kSubformatTail =
    Magic("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");

absl::string_view TagName(uint16_t tag) {
  switch (tag) {
    case 2:
    case 0x11:
      return "a WAV of ADPCM";
    case 6:
    case 7:
      return "a WAV of A-law or mu-law";
    case 0x31:
      return "a WAV of GSM 6.10";
    case 0x50:
    case 0x55:
      return "a WAV of MPEG audio";
    default:
      return "a WAV of a compressed or unknown format";
  }
}

absl::StatusOr<SampleFormat> ToSampleFormat(uint16_t tag, int container_bits) {
  if (tag == kTagPcm) {
    if (container_bits == 8) return SampleFormat::kPcm8;
    if (container_bits == 16) return SampleFormat::kPcm16;
    if (container_bits == 24) return SampleFormat::kPcm24;
    if (container_bits == 32) return SampleFormat::kPcm32;
    return AudioUnsupported(absl::StrCat("a WAV of ", container_bits, "-bit PCM"));
  }
  if (tag == kTagFloat) {
    if (container_bits == 32) return SampleFormat::kFloat32;
    if (container_bits == 64) return SampleFormat::kFloat64;
    return AudioUnsupported(absl::StrCat("a WAV of ", container_bits, "-bit floating point"));
  }
  return AudioUnsupported(TagName(tag));
}

// The tag that tells how samples are coded, looked up in the GUID of an extensible format.
absl::StatusOr<uint16_t> ReadFormatTag(const ByteView& format) {
  const uint16_t tag = format.U16(0).value_or(0);
  if (tag != kTagExtensible) return tag;
  const std::optional<uint16_t> inner = format.U16(kSubformatAt);
  if (!inner) return AudioUndecodable("a WAV file with a damaged header");
  if (!HasMagic(format.bytes, kSubformatAt + 2, kSubformatTail)) {
    return AudioUnsupported("a WAV of a compressed or unknown format");
  }
  return *inner;
}

struct WavFormat {
  SampleFormat format;
  int channels;
  int sample_rate;
  int frame_bytes;  // one sample of every channel
};

absl::StatusOr<WavFormat> ReadFormat(absl::string_view chunk, const MediaLimits& limits) {
  if (chunk.size() < kFormatBytes) return AudioUndecodable("a WAV file with a damaged header");
  const ByteView view{chunk, ByteOrder::kLittle};
  const int channels = view.U16(2).value_or(0);
  const int64_t sample_rate = view.U32(4).value_or(0);
  const int frame_bytes = view.U16(12).value_or(0);
  const int bits = view.U16(14).value_or(0);
  ASSIGN_OR_RETURN(const uint16_t tag, ReadFormatTag(view));
  if (tag != kTagPcm && tag != kTagFloat) return AudioUnsupported(TagName(tag));
  if (channels == 0 || frame_bytes == 0 || frame_bytes % channels != 0) {
    return AudioUndecodable("a WAV file with a damaged header");
  }
  RETURN_IF_ERROR(CheckAudioFormat(channels, sample_rate, limits));
  // Samples of odd sizes (12 or 20 bits) stand in the high bits of whole bytes.
  const int container_bits = frame_bytes / channels * 8;
  ASSIGN_OR_RETURN(const SampleFormat format, ToSampleFormat(tag, container_bits));
  if (bits < 1 || bits > container_bits || (tag == kTagFloat && bits != container_bits)) {
    return AudioUndecodable("a WAV file with a damaged header");
  }
  return WavFormat{format, channels, static_cast<int>(sample_rate), frame_bytes};
}

// How many of the `rest` bytes behind a data chunk's head are samples. `end_by_riff` is where the
// file ends by its own first lines; a writer to a pipe leaves both sizes as they were at the start.
int64_t DataBytes(uint32_t claimed, uint64_t end_by_riff, size_t data_at, size_t rest) {
  const bool never_updated = claimed == kSizeUnknown || (claimed == 0 && end_by_riff <= data_at);
  return static_cast<int64_t>(never_updated ? rest : std::min<size_t>(claimed, rest));
}

}  // namespace

// Walks the chunks up to the samples.
absl::StatusOr<AudioInfo> ProbeWav(absl::string_view file, const MediaLimits& limits) {
  const ByteView view{file, ByteOrder::kLittle};
  const uint32_t riff_bytes = view.U32(4).value_or(0);
  const uint64_t end_by_riff = riff_bytes == kSizeUnknown ? 0 : uint64_t{riff_bytes} + 8;
  std::optional<WavFormat> format;
  size_t at = kRiffHeadBytes;
  while (const std::optional<uint32_t> claimed = view.U32(at + 4)) {
    const absl::string_view name = file.substr(at, 4);
    at += kChunkHeadBytes;
    const size_t rest = file.size() - at;
    if (name == "data") {
      if (!format) break;
      const int64_t frames = DataBytes(*claimed, end_by_riff, at, rest) / format->frame_bytes;
      return Described({.kind = AudioKind::kWav,
                        .format = format->format,
                        .channels = format->channels,
                        .sample_rate = format->sample_rate,
                        .frames = frames,
                        .data_offset = static_cast<int64_t>(at),
                        .data_bytes = frames * format->frame_bytes},
                       limits);
    }
    if (*claimed > rest) break;
    if (name == "fmt " && !format) {
      ASSIGN_OR_RETURN(format, ReadFormat(file.substr(at, *claimed), limits));
    }
    at += std::min<size_t>(rest, size_t{*claimed} + (*claimed & 1));  // chunks start at even places
  }
  return AudioUndecodable("a WAV file that is damaged or cut short");
}

}  // namespace cleave
