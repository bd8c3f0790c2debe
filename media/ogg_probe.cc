// Ogg Vorbis (the Vorbis I specification) and Ogg Opus (RFC 7845).
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "media/audio_formats.h"
#include "media/byte_view.h"
#include "media/media_error.h"
#include "media/ogg_pages.h"
#include "media/vorbis_setup.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr absl::string_view kOpusHead = Magic("OpusHead");
constexpr absl::string_view kVorbisHead = Magic("\x01vorbis");
constexpr int kOpusRate = 48'000;

// Streams in Ogg that we name but do not read, by their first packet.
constexpr FileKind kUnsupportedStreams[] = {
    {0,
     Magic("\x7f"
           "FLAC"),
     "Ogg FLAC"},
    {0, Magic("Speex   "), "Ogg Speex"},
    {0, Magic("\x80theora"), "a video (Ogg Theora)"},
    {0, Magic("fishead"), "Ogg with a skeleton"},
};

absl::Status Damaged() { return AudioUndecodable("an Ogg file that is damaged or cut short"); }

// What the first packet says; frames are those before the first that is heard, negative.
absl::StatusOr<AudioInfo> ReadHead(absl::string_view packet) {
  const ByteView view{packet, ByteOrder::kLittle};
  AudioInfo info;
  if (HasMagic(packet, 0, kOpusHead)) {
    const std::optional<uint16_t> pre_skip = view.U16(10);
    if (packet.size() < 19 || (packet[8] & 0xf0) != 0) return Damaged();
    info.kind = AudioKind::kOpus;
    info.channels = static_cast<uint8_t>(packet[9]);
    // Family 0 is mono and stereo, 1 surround up to 8 channels; in others channels have no place.
    const int family = static_cast<uint8_t>(packet[18]);
    if (family > 1) return AudioUnsupported(absl::StrCat("Ogg Opus of mapping family ", family));
    info.sample_rate = kOpusRate;
    info.frames = -int64_t{pre_skip.value_or(0)};
    return info;
  }
  if (HasMagic(packet, 0, kVorbisHead)) {
    const std::optional<uint32_t> rate = view.U32(12);
    if (packet.size() < 30 || view.U32(7) != 0u || *rate > INT32_MAX) return Damaged();
    info.kind = AudioKind::kVorbis;
    info.channels = static_cast<uint8_t>(packet[11]);
    info.sample_rate = static_cast<int>(*rate);
    return info;
  }
  const absl::string_view kind = RecognizeKind(packet, kUnsupportedStreams);
  return AudioUnsupported(kind.empty() ? "Ogg of an unknown kind" : kind);
}

// The position at the end of a file that is one stream from page 0 on; absent when it is not, or
// when no page states a position.
std::optional<int64_t> LastPosition(absl::string_view file, uint32_t stream) {
  std::optional<int64_t> last;
  uint32_t number = 0;
  for (size_t at = 0; at < file.size(); ++number) {
    const std::optional<OggPage> page = ReadOggPage(file, at);
    if (!page || page->stream != stream || page->number != number ||
        page->begins_stream != (number == 0)) {
      return std::nullopt;
    }
    if (page->position != -1) {
      if (last && page->position < *last) return std::nullopt;
      last = page->position;
    }
    at += page->bytes;
  }
  return last;
}

}  // namespace

absl::StatusOr<AudioInfo> ProbeOgg(absl::string_view file, const MediaLimits& limits) {
  const std::optional<OggPage> first = ReadOggPage(file, 0);
  if (!first) return Damaged();
  ASSIGN_OR_RETURN(AudioInfo info, ReadHead(first->body));
  RETURN_IF_ERROR(CheckAudioFormat(info.channels, info.sample_rate, limits));
  const std::optional<int64_t> last = LastPosition(file, first->stream);
  // Far beyond every limit; sums with it stay inside 64 bits.
  constexpr int64_t kPositionMax = int64_t{1} << 40;
  if (!last || *last < 0 || *last > kPositionMax) return Damaged();
  if (info.kind == AudioKind::kVorbis && !VorbisSetupIsModest(file)) {
    return AudioUndecodable("an Ogg Vorbis file with code books that are damaged or too large");
  }
  info.frames += *last;
  info.data_bytes = static_cast<int64_t>(file.size());
  return Described(info, limits);
}

}  // namespace cleave
