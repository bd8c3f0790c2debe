// PNG: ISO/IEC 15948.
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

constexpr size_t kPngHeaderBytes = 13;    // the data of IHDR
constexpr size_t kPngChunkOverhead = 12;  // length, type and checksum
constexpr uint32_t kPngChunkBytesMax = 0x7fffffff;

// Bit depths by colour type, one bit each: bit 3 set means that 8 is allowed.
constexpr uint32_t DepthBits(int color_type) {
  switch (color_type) {
    case 0:  // gray
      return 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8 | 1u << 16;
    case 3:  // palette
      return 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8;
    case 2:  // colour
    case 4:  // gray with alpha
    case 6:  // colour with alpha
      return 1u << 8 | 1u << 16;
    default:
      return 0;
  }
}

absl::Status ReadPngHeader(absl::string_view header, ImageInfo* info) {
  constexpr uint32_t kSideMax = 0x7fffffff;
  const ByteView view{header, ByteOrder::kBig};
  const uint32_t width = view.U32(0).value_or(0);
  const uint32_t height = view.U32(4).value_or(0);
  const int depth = static_cast<uint8_t>(header[8]);
  const int color_type = static_cast<uint8_t>(header[9]);
  const bool known = depth <= 16 && (DepthBits(color_type) >> depth & 1) != 0 && header[10] == 0 &&
                     header[11] == 0 && static_cast<uint8_t>(header[12]) <= 1;
  if (!known || width > kSideMax || height > kSideMax) {
    return ImageUndecodable("a PNG file with a damaged header");
  }
  info->stored_width = static_cast<int>(width);
  info->stored_height = static_cast<int>(height);
  return absl::OkStatus();
}

}  // namespace

// Walks the chunks to the end: EXIF data may stand behind the pixels.
absl::StatusOr<ImageInfo> ProbePng(absl::string_view file, const MediaLimits& limits) {
  const ByteView view{file, ByteOrder::kBig};
  ImageInfo info;
  info.kind = ImageKind::kPng;
  int orientation = 0;  // 0: no EXIF data yet
  size_t at = kPngSignature.size();
  bool header_seen = false;
  while (true) {
    const std::optional<uint32_t> length = view.U32(at);
    if (!length || *length > kPngChunkBytesMax || file.size() - at < kPngChunkOverhead ||
        file.size() - at - kPngChunkOverhead < *length) {
      // A picture that breaks a limit is refused for that, whether or not the rest is there.
      if (header_seen) RETURN_IF_ERROR(Oriented(info, std::max(orientation, 1), limits).status());
      return ImageUndecodable("a PNG file that is cut short");
    }
    const absl::string_view type = file.substr(at + 4, 4);
    const absl::string_view data = file.substr(at + 8, *length);
    if (header_seen == (type == "IHDR") || (type == "IHDR" && data.size() != kPngHeaderBytes)) {
      return ImageUndecodable("a PNG file with a damaged header");
    }
    if (type == "IHDR") RETURN_IF_ERROR(ReadPngHeader(data, &info));
    header_seen = true;
    if (type == "eXIf" && orientation == 0) {
      orientation = ReadExifOrientation(absl::StripPrefix(data, kExifHead));
    }
    if (type == "IEND") return Oriented(info, std::max(orientation, 1), limits);
    at += kPngChunkOverhead + *length;
  }
}

}  // namespace cleave
