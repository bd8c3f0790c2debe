#include "media/image_decode.h"

#include "media/gif_decode.h"
#include "media/image_probe.h"
#include "media/jpeg_decode.h"
#include "media/media_error.h"
#include "media/png_decode.h"
#include "media/webp_decode.h"
#include "runtime/base/status.h"

namespace cleave {

absl::StatusOr<RgbImage> DecodeImage(absl::string_view file, const MediaLimits& limits) {
  ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(file, limits));
  ImageCanvas canvas(info);
  switch (info.kind) {
    case ImageKind::kJpeg:
      if (!DecodeJpeg(file, canvas)) {
        return ImageUndecodable("a JPEG file that is damaged or cut short");
      }
      break;
    case ImageKind::kPng:
      if (!DecodePng(file, canvas)) return ImageUndecodable("a damaged PNG file");
      break;
    case ImageKind::kWebp:
      if (!DecodeWebp(file, canvas)) return ImageUndecodable("a damaged WebP file");
      break;
    case ImageKind::kGif:
      if (!DecodeGif(file, canvas)) return ImageUndecodable("a damaged GIF file");
      break;
  }
  return canvas.Take();
}

}  // namespace cleave
