#include "media/image_canvas.h"

#include <cstring>

#include "runtime/base/check.h"

namespace cleave {
namespace {

// One channel of a pixel laid on white, in Pillow's fixed-point arithmetic.
uint8_t OnWhite(uint32_t value, uint32_t alpha) {
  constexpr uint32_t kPrecisionBits = 7;
  const uint32_t blend = (value * alpha + 255 * (255 - alpha)) << kPrecisionBits;
  const uint32_t scaled = blend + (0x80u << kPrecisionBits);
  return static_cast<uint8_t>((((scaled >> 8) + scaled) >> 8) >> kPrecisionBits);
}

}  // namespace

ImageCanvas::ImageCanvas(const ImageInfo& info)
    : stored_width_(info.stored_width), stored_height_(info.stored_height) {
  image_.height = info.height;
  image_.width = info.width;
  image_.pixels.resize(size_t{3} * static_cast<size_t>(info.width) *
                       static_cast<size_t>(info.height));
  const ptrdiff_t right = 3;
  const ptrdiff_t down = ptrdiff_t{3} * info.width;
  const ptrdiff_t last_column = right * (info.width - 1);
  const ptrdiff_t last_row = down * (info.height - 1);
  // Which corner of the upright picture the stored origin is, and where the stored x and y point.
  struct Placement {
    ptrdiff_t origin, step_x, step_y;
  };
  const Placement placements[8] = {
      {0, right, down},                         // 1: upright
      {last_column, -right, down},              // 2: mirrored left to right
      {last_row + last_column, -right, -down},  // 3: upside down
      {last_row, right, -down},                 // 4: mirrored top to bottom
      {0, down, right},                         // 5: transposed
      {last_column, down, -right},              // 6: to be turned right
      {last_row + last_column, -down, -right},  // 7: transposed over the other diagonal
      {last_row, -down, right},                 // 8: to be turned left
  };
  CHECK(info.orientation >= 1 && info.orientation <= 8);
  const Placement& placement = placements[info.orientation - 1];
  origin_ = placement.origin;
  step_x_ = placement.step_x;
  step_y_ = placement.step_y;
}

void ImageCanvas::PutRow(int stored_y, absl::Span<const uint8_t> row) noexcept {
  CHECK(stored_y >= 0 && stored_y < stored_height_);
  CHECK(row.size() == size_t{3} * static_cast<size_t>(stored_width_));
  uint8_t* const picture = image_.pixels.data();
  ptrdiff_t at = origin_ + step_y_ * stored_y;
  if (step_x_ == 3) {
    std::memcpy(picture + at, row.data(), row.size());
    return;
  }
  for (size_t i = 0; i < row.size(); i += 3, at += step_x_) {
    picture[at] = row[i];
    picture[at + 1] = row[i + 1];
    picture[at + 2] = row[i + 2];
  }
}

void ImageCanvas::PutRgbaRow(int stored_y, absl::Span<uint8_t> rgba) noexcept {
  CHECK(rgba.size() == size_t{4} * static_cast<size_t>(stored_width_));
  uint8_t* to = rgba.data();
  for (size_t at = 0; at < rgba.size(); at += 4, to += 3) {
    const uint8_t alpha = rgba[at + 3];
    for (size_t channel = 0; channel < 3; ++channel) {
      to[channel] = OnWhite(rgba[at + channel], alpha);
    }
  }
  PutRow(stored_y, rgba.subspan(0, rgba.size() / 4 * 3));
}

}  // namespace cleave
