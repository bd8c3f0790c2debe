#include "media/mp3_frames.h"

#include "media/byte_view.h"
#include "media/file_kind.h"

namespace cleave {
namespace {

constexpr size_t kHeaderBytes = 4;
constexpr uint32_t kLayer3 = 1;  // as coded
constexpr uint32_t kMono = 3;    // as coded

int SampleRate(int version, uint32_t code) {
  constexpr int kRates[] = {44'100, 48'000, 32'000};
  const int divisor = version == 1 ? 1 : version == 2 ? 2 : 4;
  return kRates[code] / divisor;
}

// Kilobits a second; code 1 to 14.
int BitRate(int version, uint32_t code) {
  constexpr int kVersion1[] = {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320};
  constexpr int kVersion2[] = {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160};
  return (version == 1 ? kVersion1 : kVersion2)[code - 1];
}

}  // namespace

size_t Mp3Frame::info_at() const {
  const size_t side_bytes = version == 1 ? (channels == 1 ? 17 : 32) : (channels == 1 ? 9 : 17);
  return kHeaderBytes + side_bytes;
}

std::optional<Mp3Frame> ReadMp3Frame(absl::string_view file, size_t at) {
  const std::optional<uint32_t> header = ByteView{file, ByteOrder::kBig}.U32(at);
  if (!header || *header >> 21 != 0x7ff) return std::nullopt;
  const uint32_t version_code = *header >> 19 & 3;
  const uint32_t bit_rate_code = *header >> 12 & 15;
  const uint32_t rate_code = *header >> 10 & 3;
  if (version_code == 1 || (*header >> 17 & 3) != kLayer3 || bit_rate_code == 0 ||
      bit_rate_code == 15 || rate_code == 3) {
    return std::nullopt;
  }
  Mp3Frame frame{};
  frame.version = version_code == 3 ? 1 : version_code == 2 ? 2 : 25;
  frame.sample_rate = SampleRate(frame.version, rate_code);
  frame.channels = (*header >> 6 & 3) == kMono ? 1 : 2;
  frame.has_checksum = (*header >> 16 & 1) == 0;
  const int bytes_per_rate = frame.samples() / 8 * 1000 * BitRate(frame.version, bit_rate_code);
  frame.bytes = static_cast<size_t>(bytes_per_rate / frame.sample_rate) + (*header >> 9 & 1);
  return frame;
}

std::optional<Mp3Encoding> ReadMp3Encoding(absl::string_view frame_bytes, const Mp3Frame& frame) {
  constexpr size_t kVbriAt = 36;
  constexpr uint32_t kHasFrames = 1, kHasBytes = 2, kHasTable = 4, kHasQuality = 8;
  constexpr size_t kTableBytes = 100, kDelayAt = 21;
  const ByteView view{frame_bytes, ByteOrder::kBig};
  Mp3Encoding encoding;
  if (HasMagic(frame_bytes, kVbriAt, "VBRI")) return encoding;
  const size_t info_at = frame.info_at();
  if (!HasMagic(frame_bytes, info_at, "Xing") && !HasMagic(frame_bytes, info_at, "Info")) {
    return std::nullopt;
  }
  const uint32_t flags = view.U32(info_at + 4).value_or(0);
  size_t at = info_at + 8;
  if ((flags & kHasFrames) != 0) encoding.frames = view.U32(at);
  at += (flags & kHasFrames) != 0 ? 4 : 0;
  at += (flags & kHasBytes) != 0 ? 4 : 0;
  at += (flags & kHasTable) != 0 ? kTableBytes : 0;
  at += (flags & kHasQuality) != 0 ? 4 : 0;
  const bool is_named = at < frame_bytes.size() && frame_bytes[at] != 0;  // "LAME3.100", ...
  const std::optional<uint32_t> gaps = view.U32(at + kDelayAt - 1);       // 12 bits each, below
  if (is_named && gaps) {
    encoding.delay = *gaps >> 12 & 0xfff;
    encoding.padding = *gaps & 0xfff;
  }
  return encoding;
}

}  // namespace cleave
