// Makes WebP and GIF files for the media tests, in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "media/image_canvas.h"

namespace cleave::media_test {

// pixels: [height, width, 4], RGBA. Lossless files give back exactly these.
std::string WebpFile(int width, int height, const std::vector<uint8_t>& pixels, bool lossless);
std::string WebpFile(const RgbImage& image, bool lossless);

// The picture of a simple WebP file inside an extended one, with EXIF data behind it.
std::string ExtendedWebp(absl::string_view simple, int width, int height, int orientation);

struct WebpFrame {
  std::string file;  // a simple WebP file
  int left = 0;      // even
  int top = 0;       // even
  int width = 0;
  int height = 0;
};
std::string AnimatedWebp(int width, int height, const std::vector<WebpFrame>& frames,
                         bool has_alpha);

struct GifOptions {
  std::vector<uint8_t> palette = {};        // r, g, b, ...; 2, 4, ... 256 colors; none: no table
  std::vector<uint8_t> local_palette = {};  // of the frame
  int transparent = -1;                     // an index
  bool interlaced = false;
  int left = 0, top = 0;                      // of the frame
  int screen_width = -1, screen_height = -1;  // -1: as the frame
  std::string before_frame = {};              // extensions
  std::string after_frame = ";";
};
// indices: [height, width], each below 128.
std::string GifFile(int width, int height, const std::vector<uint8_t>& indices,
                    const GifOptions& options);

}  // namespace cleave::media_test
