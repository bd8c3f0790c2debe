// One probe for each kind of picture; ProbeImage is the way in. The file begins with the kind's
// signature and its size is within the limits. They allocate nothing; their work is bounded by the
// size of the file.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "media/file_kind.h"
#include "media/image_probe.h"
#include "media/media_limits.h"

namespace cleave {

inline constexpr absl::string_view kJpegSignature = Magic("\xff\xd8");
inline constexpr absl::string_view kPngSignature = Magic("\x89PNG\r\n\x1a\n");
inline constexpr absl::string_view kWebpSignature = Magic("WEBP");  // behind 8 bytes of RIFF
inline constexpr absl::string_view kGifSignatures[] = {Magic("GIF87a"), Magic("GIF89a")};

// Before the EXIF data of a JPEG; some writers leave it in a PNG or WebP too.
inline constexpr absl::string_view kExifHead = Magic("Exif\0\0");

absl::StatusOr<ImageInfo> ProbeJpeg(absl::string_view file, const MediaLimits& limits);
absl::StatusOr<ImageInfo> ProbePng(absl::string_view file, const MediaLimits& limits);
absl::StatusOr<ImageInfo> ProbeWebp(absl::string_view file, const MediaLimits& limits);
absl::StatusOr<ImageInfo> ProbeGif(absl::string_view file, const MediaLimits& limits);

// `info` with the size as shown, once its stored size has been checked.
absl::StatusOr<ImageInfo> Oriented(ImageInfo info, int orientation, const MediaLimits& limits);

}  // namespace cleave
