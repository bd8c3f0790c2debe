// A picture file to upright 8-bit RGB.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "media/image_canvas.h"
#include "media/media_limits.h"

namespace cleave {

// Decodes `file` as the reference's loader does: EXIF orientation applied, gray, palette and
// CMYK turned into RGB, transparent pixels laid on white, color profiles and gamma ignored; of an
// animation the first frame. One deviation: 16-bit gray is scaled to 8 bits, where the reference
// clips at 255 and sees white.
// The result has exactly the size ProbeImage gives, and the call fails whenever that fails;
// further with Reason::kMediaUndecodable when the compressed data is damaged or incomplete (a file
// that ends early is refused, not shown in part).
// Memory: 3 bytes a pixel, and beside that 4 for an interlaced PNG, 6 for a progressive JPEG (8 for
// CMYK), 4 for a lossy WebP and 8 for a lossless one.
// A pure function; any thread.
absl::StatusOr<RgbImage> DecodeImage(absl::string_view file, const MediaLimits& limits);

}  // namespace cleave
