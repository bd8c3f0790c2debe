#include "media/image_tiles.h"

#include <cstring>

#include "media/image_decode.h"
#include "media/image_probe.h"
#include "media/image_resize.h"
#include "media/image_size.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"

namespace cleave {

ImageTiles CutTiles(const RgbImage& image) {
  CHECK(image.height % kTileSide == 0 && image.width % kTileSide == 0);
  ImageTiles out{.tiles = std::vector<uint8_t>(image.pixels.size()),
                 .rows = image.height / kTileSide,
                 .columns = image.width / kTileSide};
  constexpr size_t kRunBytes = size_t{3} * kTileSide;  // one row of one tile
  uint8_t* to = out.tiles.data();
  for (int index = 0; index < out.count(); ++index) {
    const TilePosition position = out.position(index);
    for (int y = 0; y < kTileSide; ++y, to += kRunBytes) {
      const size_t row = static_cast<size_t>(position.y) * kTileSide + static_cast<size_t>(y);
      const size_t column = static_cast<size_t>(position.x) * kTileSide;
      std::memcpy(to, &image.pixels[3 * (row * static_cast<size_t>(image.width) + column)],
                  kRunBytes);
    }
  }
  return out;
}

absl::StatusOr<ImageTiles> PrepareImage(absl::string_view file, int budget,
                                        const MediaLimits& limits) {
  // The size first: a wrong budget is found before anything is decoded.
  ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(file, limits));
  ASSIGN_OR_RETURN(const TargetImageSize size,
                   ComputeTargetImageSize(info.height, info.width, budget));
  ASSIGN_OR_RETURN(const RgbImage image, DecodeImage(file, limits));
  return CutTiles(ResizeBicubic(image, size.height, size.width));
}

}  // namespace cleave
