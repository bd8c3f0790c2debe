// JPEG: ITU T.81, annex B.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "media/byte_view.h"
#include "media/exif_orientation.h"
#include "media/image_formats.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Markers, the byte after 0xff.
constexpr uint8_t kTemporary = 0x01;
constexpr uint8_t kRestart0 = 0xd0, kRestart7 = 0xd7;
constexpr uint8_t kStartOfImage = 0xd8, kEndOfImage = 0xd9, kStartOfScan = 0xda;
constexpr uint8_t kApplication1 = 0xe1;
constexpr uint8_t kBaseline = 0xc0, kExtended = 0xc1, kProgressive = 0xc2;

bool IsStartOfFrame(uint8_t marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

// Finds the next marker at or after `*at` and moves `*at` behind it. Like libjpeg it passes over
// bytes that belong to no segment.
std::optional<uint8_t> NextMarker(absl::string_view file, size_t* at) {
  while (true) {
    const size_t found = file.find('\xff', *at);
    if (found == absl::string_view::npos) return std::nullopt;
    const size_t code = file.find_first_not_of('\xff', found);
    if (code == absl::string_view::npos) return std::nullopt;
    *at = code + 1;
    if (file[code] != 0) return static_cast<uint8_t>(file[code]);
  }
}

absl::Status ReadStartOfFrame(uint8_t marker, absl::string_view segment, ImageInfo* info) {
  if (marker != kBaseline && marker != kExtended && marker != kProgressive) {
    return ImageUnsupported("a lossless, hierarchical or arithmetic-coded JPEG");
  }
  if (segment.size() < 6) return ImageUndecodable("a damaged JPEG file");
  const int precision = static_cast<uint8_t>(segment[0]);
  const int components = static_cast<uint8_t>(segment[5]);
  if (precision != 8) return ImageUnsupported(absl::StrCat("a JPEG of ", precision, " bits"));
  if (components != 1 && components != 3 && components != 4) {
    return ImageUnsupported(absl::StrCat("a JPEG of ", components, " components"));
  }
  const ByteView view{segment, ByteOrder::kBig};
  info->stored_height = view.U16(1).value_or(0);
  info->stored_width = view.U16(3).value_or(0);
  return absl::OkStatus();
}

}  // namespace

// Walks the segments up to the first scan.
absl::StatusOr<ImageInfo> ProbeJpeg(absl::string_view file, const MediaLimits& limits) {
  const ByteView view{file, ByteOrder::kBig};
  ImageInfo info;
  info.kind = ImageKind::kJpeg;
  int orientation = 0;  // 0: no EXIF data yet
  bool frame_seen = false;
  size_t at = kJpegSignature.size();
  while (const std::optional<uint8_t> marker = NextMarker(file, &at)) {
    if (*marker == kTemporary || (*marker >= kRestart0 && *marker <= kRestart7)) continue;
    if (*marker == kStartOfImage || *marker == kEndOfImage) break;
    if (*marker == kStartOfScan) {
      if (!frame_seen) break;
      return Oriented(info, std::max(orientation, 1), limits);
    }
    const size_t length = view.U16(at).value_or(0);  // counts its own two bytes
    if (length < 2 || file.size() - at < length) break;
    const absl::string_view segment = file.substr(at + 2, length - 2);
    if (IsStartOfFrame(*marker) && !frame_seen) {
      RETURN_IF_ERROR(ReadStartOfFrame(*marker, segment, &info));
      frame_seen = true;
    }
    if (*marker == kApplication1 && orientation == 0 && absl::StartsWith(segment, kExifHead)) {
      orientation = ReadExifOrientation(segment.substr(kExifHead.size()));
    }
    at += length;
  }
  return ImageUndecodable("a JPEG file that is damaged or cut short");
}

}  // namespace cleave
