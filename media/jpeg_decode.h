// libjpeg-turbo behind one function. DecodeImage is the way in.
#pragma once

#include "absl/strings/string_view.h"
#include "media/image_canvas.h"

namespace cleave {

// Decodes a JPEG of 1, 3 or 4 components and the canvas's stored size into `canvas`, exactly as
// Pillow does (integer DCT, smooth chroma upsampling; CMYK and YCCK inverted as Adobe writes them,
// to RGB without a profile). False when the data is damaged, ends early,
// is of another size, or has more than kJpegScansMax scans; the canvas is then partly written.
bool DecodeJpeg(absl::string_view file, ImageCanvas& canvas);

// Each scan of a progressive JPEG costs a pass over the whole picture, however few bytes it has.
// Encoders write about ten.
inline constexpr int kJpegScansMax = 64;

}  // namespace cleave
