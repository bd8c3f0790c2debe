// Where a decoder puts its rows: the picture upright, whatever the EXIF orientation of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "media/image_probe.h"

namespace cleave {

// 8-bit RGB. pixels: [height, width, 3], row-major.
struct RgbImage {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
};

// Takes the rows of the file in any order and writes each to its place in the upright picture, so
// no second copy of the picture is needed to turn it. Owns the picture until Take; not thread-safe.
class ImageCanvas {
 public:
  // Takes memory for info.width * info.height pixels: the caller has checked the limits.
  explicit ImageCanvas(const ImageInfo& info);

  int stored_width() const { return stored_width_; }
  int stored_height() const { return stored_height_; }

  // row: [stored_width, 3], the row `stored_y` of the file, 0 <= stored_y < stored_height.
  // Never throws, so C codecs may call it.
  void PutRow(int stored_y, absl::Span<const uint8_t> row) noexcept;

  // The same of rgba: [stored_width, 4], laid on white. Works in place: the row is lost.
  void PutRgbaRow(int stored_y, absl::Span<uint8_t> rgba) noexcept;

  RgbImage Take() { return std::move(image_); }

 private:
  int stored_width_;
  int stored_height_;
  // Byte offset in the upright picture of stored pixel (0, 0), and of one step along each side.
  ptrdiff_t origin_ = 0;
  ptrdiff_t step_x_ = 0;
  ptrdiff_t step_y_ = 0;
  RgbImage image_;
};

}  // namespace cleave
