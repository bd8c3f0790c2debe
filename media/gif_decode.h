// giflib behind one function. DecodeImage is the way in.
#pragma once

#include "absl/strings/string_view.h"
#include "media/image_canvas.h"

namespace cleave {

// Decodes the first frame of a GIF of the canvas's stored size into `canvas`: what is transparent,
// or left free by the frame when there is a transparent color, is laid on white; else what is left
// free has the first color. False when the data is damaged, ends early or is of another size; the
// canvas is then partly written.
bool DecodeGif(absl::string_view file, ImageCanvas& canvas);

}  // namespace cleave
