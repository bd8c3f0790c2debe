// What a picture file says of itself: enough to refuse it or to count its tokens without decoding.
// The gateway stops here; the decoder starts here, so both see the same size.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "media/media_limits.h"

namespace cleave {

enum class ImageKind { kJpeg, kPng, kWebp, kGif };

struct ImageInfo {
  ImageKind kind = ImageKind::kJpeg;
  int stored_width = 0;   // pixels, as in the file
  int stored_height = 0;  // pixels, as in the file
  int orientation = 1;    // EXIF, 1 to 8; 1 is upright
  int width = 0;          // pixels, as shown: orientations 5 to 8 swap the two sides
  int height = 0;         // pixels, as shown
};

// Reads the headers of `file` only and allocates nothing by what they claim. A pure function; any
// thread. Fails with INVALID_ARGUMENT and
//   Reason::kMediaLimit        file, sides or pixels beyond `limits`;
//   Reason::kMediaUnsupported  a kind that is not read: TIFF, HEIC, lossless JPEG, ...;
//   Reason::kMediaUndecodable  damaged, cut short or of no known kind. Damage to the compressed
//                              pixels is found by DecodeImage alone.
absl::StatusOr<ImageInfo> ProbeImage(absl::string_view file, const MediaLimits& limits);

}  // namespace cleave
