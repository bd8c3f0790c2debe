// A picture file to what the vision embedder reads: 8-bit tiles, one for each token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "media/image_canvas.h"
#include "media/media_limits.h"

namespace cleave {

inline constexpr int kTileSide = 48;                                     // pixels
inline constexpr size_t kTileBytes = size_t{kTileSide} * kTileSide * 3;  // 6912

// Where a tile stands in its picture: x counts columns, y rows.
struct TilePosition {
  int x;
  int y;
  friend bool operator==(const TilePosition&, const TilePosition&) = default;
};

struct ImageTiles {
  // [rows * columns, 6912]: tiles row by row; in a tile (row, column, channel), channel fastest.
  std::vector<uint8_t> tiles;
  int rows = 0;
  int columns = 0;

  int count() const { return rows * columns; }
  absl::Span<const uint8_t> tile(int index) const {
    return absl::MakeConstSpan(tiles).subspan(static_cast<size_t>(index) * kTileBytes, kTileBytes);
  }
  TilePosition position(int index) const { return {index % columns, index / columns}; }
};

// Cuts a picture whose sides are multiples of kTileSide.
ImageTiles CutTiles(const RgbImage& image);

// Decodes, scales to fill `budget` tokens (see image_size.h) and cuts. The rows and columns are
// those that ProbeImage and ComputeTargetImageSize give for the same file and budget; fails as
// those and DecodeImage do. A pure function; any thread.
absl::StatusOr<ImageTiles> PrepareImage(absl::string_view file, int budget,
                                        const MediaLimits& limits);

}  // namespace cleave
