// Scaling as the reference does it: torchvision's bicubic with antialias on 8-bit tensors.
#pragma once

#include "media/image_canvas.h"

namespace cleave {

// `image` scaled to height x width (at least 1 x 1): separable Keys cubic, a = -0.5, widened by the
// scale when shrinking; first along the rows, then along the columns, each axis rounded to 8 bits.
// Weights are 16-bit fixed point, so the result does not depend on machine or compiler. An axis
// that keeps its size is not touched. A pure function; any thread.
RgbImage ResizeBicubic(const RgbImage& image, int height, int width);

}  // namespace cleave
