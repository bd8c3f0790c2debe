#include "media/image_probe.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "media/image_formats.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Kinds we name but do not read.
constexpr FileKind kUnsupportedKinds[] = {
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

absl::Status OfAnotherKind(absl::string_view file) {
  if (file.empty()) return ImageUndecodable("an empty file");
  const absl::string_view kind = RecognizeKind(file, kUnsupportedKinds);
  if (!kind.empty()) return ImageUnsupported(kind);
  return ImageUndecodable("a file of no known kind");
}

}  // namespace

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

absl::StatusOr<ImageInfo> ProbeImage(absl::string_view file, const MediaLimits& limits) {
  RETURN_IF_ERROR(CheckImageBytes(static_cast<int64_t>(file.size()), limits));
  if (absl::StartsWith(file, kJpegSignature)) return ProbeJpeg(file, limits);
  if (absl::StartsWith(file, kPngSignature)) return ProbePng(file, limits);
  if (HasMagic(file, 0, "RIFF") && HasMagic(file, 8, kWebpSignature)) {
    return ProbeWebp(file, limits);
  }
  for (const absl::string_view signature : kGifSignatures) {
    if (absl::StartsWith(file, signature)) return ProbeGif(file, limits);
  }
  return OfAnotherKind(file);
}

}  // namespace cleave
