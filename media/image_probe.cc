#include "media/image_probe.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "media/byte_view.h"
#include "media/exif_orientation.h"
#include "media/file_kind.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr absl::string_view kJpegSignature = Magic("\xff\xd8");
constexpr absl::string_view kPngSignature = Magic("\x89PNG\r\n\x1a\n");

// Kinds we name but do not read.
constexpr FileKind kUnsupportedKinds[] = {
    {0, Magic("GIF87a"), "GIF"},
    {0, Magic("GIF89a"), "GIF"},
    {8, Magic("WEBP"), "WebP"},
    {0, Magic("II*\0"), "TIFF"},
    {0, Magic("MM\0*"), "TIFF"},
    {4, Magic("ftypavif"), "AVIF"},
    {4, Magic("ftypavis"), "AVIF"},
    {4, Magic("ftyphei"), "HEIC"},
    {4, Magic("ftyphev"), "HEIC"},
    {4, Magic("ftypmif1"), "HEIF"},
    {4, Magic("ftypmsf1"), "HEIF"},
    {4, Magic("ftyp"), "a video or another ISO media file"},
    {0, Magic("\0\0\0\x0cjP  "), "JPEG 2000"},
    {0, Magic("\xff\x4f\xff\x51"), "JPEG 2000"},
    {0, Magic("\0\0\0\x0cJXL "), "JPEG XL"},
    {0, Magic("\xff\x0a"), "JPEG XL"},
    {0, Magic("8BPS"), "Photoshop"},
    {0, Magic("\0\0\x01\0"), "ICO"},
    {0, Magic("%PDF-"), "PDF"},
    {0, Magic("<svg"), "SVG"},
    {0, Magic("<?xml"), "SVG or another XML file"},
    {0, Magic("BM"), "BMP"},
    {8, Magic("WAVE"), "a sound (WAV)"},
    {0, Magic("fLaC"), "a sound (FLAC)"},
    {0, Magic("OggS"), "a sound (Ogg)"},
    {0, Magic("ID3"), "a sound (MP3)"},
};

absl::Status NeitherJpegNorPng(absl::string_view file) {
  if (file.empty()) return ImageUndecodable("an empty file");
  const absl::string_view kind = RecognizeKind(file, kUnsupportedKinds);
  if (!kind.empty()) return ImageUnsupported(kind);
  return ImageUndecodable("a file of no known kind");
}

absl::StatusOr<ImageInfo> Oriented(ImageInfo info, int orientation, const MediaLimits& limits) {
  if (info.stored_width == 0 || info.stored_height == 0) {
    return ImageUndecodable("a picture without pixels");
  }
  const bool swapped = orientation >= 5;
  info.orientation = orientation;
  info.width = swapped ? info.stored_height : info.stored_width;
  info.height = swapped ? info.stored_width : info.stored_height;
  RETURN_IF_ERROR(CheckImageSize(info.width, info.height, limits));
  return info;
}

// ---- JPEG (ITU T.81, annex B) ----

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
  if (components == 4) return ImageUnsupported("a CMYK JPEG");
  if (components != 1 && components != 3) {
    return ImageUnsupported(absl::StrCat("a JPEG of ", components, " components"));
  }
  const ByteView view{segment, ByteOrder::kBig};
  info->stored_height = view.U16(1).value_or(0);
  info->stored_width = view.U16(3).value_or(0);
  return absl::OkStatus();
}

// Before the EXIF data of a JPEG; some writers leave it in a PNG too.
constexpr absl::string_view kExifHead = Magic("Exif\0\0");

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

// ---- PNG (ISO/IEC 15948) ----

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
  if (depth == 16) return ImageUnsupported("a 16-bit PNG");
  info->stored_width = static_cast<int>(width);
  info->stored_height = static_cast<int>(height);
  return absl::OkStatus();
}

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

}  // namespace

absl::StatusOr<ImageInfo> ProbeImage(absl::string_view file, const MediaLimits& limits) {
  RETURN_IF_ERROR(CheckImageBytes(static_cast<int64_t>(file.size()), limits));
  if (absl::StartsWith(file, kJpegSignature)) return ProbeJpeg(file, limits);
  if (absl::StartsWith(file, kPngSignature)) return ProbePng(file, limits);
  return NeitherJpegNorPng(file);
}

}  // namespace cleave
