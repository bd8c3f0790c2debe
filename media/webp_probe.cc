// WebP: RFC 9649.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/strip.h"
#include "media/byte_view.h"
#include "media/exif_orientation.h"
#include "media/image_formats.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr size_t kRiffHeadBytes = 12;  // "RIFF", size, "WEBP"
constexpr size_t kChunkHeadBytes = 8;  // name, size
constexpr uint8_t kExifFlag = 0x08;    // of an extended file: there is EXIF data

struct Size {
  int width;
  int height;
};

// A key frame's head: 3 bytes of tag, a start code, two sides of 14 bits.
std::optional<Size> LossySize(absl::string_view data) {
  const ByteView view{data, ByteOrder::kLittle};
  const std::optional<uint16_t> height = view.U16(8);
  if (!height || (data[0] & 1) != 0 || !HasMagic(data, 3, "\x9d\x01\x2a")) return std::nullopt;
  return Size{view.U16(6).value_or(0) & 0x3fff, *height & 0x3fff};
}

// A signature byte, then both sides less one, 14 bits each.
std::optional<Size> LosslessSize(absl::string_view data) {
  const std::optional<uint32_t> bits = ByteView{data, ByteOrder::kLittle}.U32(1);
  if (!bits || data[0] != 0x2f) return std::nullopt;
  return Size{static_cast<int>((*bits & 0x3fff) + 1), static_cast<int>((*bits >> 14 & 0x3fff) + 1)};
}

// Flags, three bytes of nothing, both sides of the canvas less one, 24 bits each.
std::optional<Size> CanvasSize(absl::string_view data) {
  const ByteView view{data, ByteOrder::kLittle};
  const std::optional<uint32_t> low = view.U32(4), high = view.U32(6);
  if (!low || !high) return std::nullopt;
  return Size{static_cast<int>((*low & 0xffffff) + 1), static_cast<int>((*high >> 8) + 1)};
}

std::optional<Size> ReadSize(absl::string_view name, absl::string_view data) {
  if (name == "VP8 ") return LossySize(data);
  if (name == "VP8L") return LosslessSize(data);
  if (name == "VP8X") return CanvasSize(data);
  return std::nullopt;
}

}  // namespace

// The first chunk tells the size; in an extended file EXIF data may stand behind the pixels.
absl::StatusOr<ImageInfo> ProbeWebp(absl::string_view file, const MediaLimits& limits) {
  const ByteView view{file, ByteOrder::kLittle};
  const uint64_t end = uint64_t{view.U32(4).value_or(0)} + 8;
  ImageInfo info;
  info.kind = ImageKind::kWebp;
  int orientation = 0;  // 0: no EXIF data yet
  bool has_exif = false;
  for (size_t at = kRiffHeadBytes; at < std::min<uint64_t>(end, file.size());) {
    const std::optional<uint32_t> length = view.U32(at + 4);
    if (!length || file.size() - at - kChunkHeadBytes < *length) break;
    const absl::string_view name = file.substr(at, 4);
    const absl::string_view data = file.substr(at + kChunkHeadBytes, *length);
    if (at == kRiffHeadBytes) {
      const std::optional<Size> size = ReadSize(name, data);
      if (!size) return ImageUndecodable("a WebP file with a damaged header");
      info.stored_width = size->width;
      info.stored_height = size->height;
      has_exif = name == "VP8X" && (static_cast<uint8_t>(data[0]) & kExifFlag) != 0;
      RETURN_IF_ERROR(Oriented(info, 1, limits).status());
      if (name != "VP8X") break;
    }
    if (has_exif && name == "EXIF" && orientation == 0) {
      orientation = ReadExifOrientation(absl::StripPrefix(data, kExifHead));
    }
    at += kChunkHeadBytes + *length + (*length & 1);  // chunks start at even places
  }
  if (info.stored_width == 0 || file.size() < end) {
    return ImageUndecodable("a WebP file that is cut short");
  }
  return Oriented(info, std::max(orientation, 1), limits);
}

}  // namespace cleave
