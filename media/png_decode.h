// libpng behind one function. DecodeImage is the way in.
#pragma once

#include "absl/strings/string_view.h"
#include "media/image_canvas.h"

namespace cleave {

// Decodes a PNG of the canvas's stored size into `canvas`: transparency of every kind (alpha
// channel, palette, color key) is laid on white, of 16 bits a channel the upper 8 are kept. False
// when the data is damaged, ends early or is of another size; the canvas is then partly written.
bool DecodePng(absl::string_view file, ImageCanvas& canvas);

}  // namespace cleave
