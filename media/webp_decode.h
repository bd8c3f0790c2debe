// libwebp behind one function. DecodeImage is the way in.
#pragma once

#include "absl/strings/string_view.h"
#include "media/image_canvas.h"

namespace cleave {

// Decodes a WebP of the canvas's stored size into `canvas`: lossy or lossless, transparency laid on
// white; of an animation the first frame, on a transparent ground. False when the data is damaged,
// ends early or is of another size; the canvas is then partly written.
bool DecodeWebp(absl::string_view file, ImageCanvas& canvas);

}  // namespace cleave
