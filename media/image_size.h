// How large the model sees a picture, and how many tokens that costs.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace cleave {

// How the model cuts a picture: pool x pool patches of patch x patch pixels make one tile, and one
// tile is one token.
struct ImageGrid {
  int patch = 16;                                 // pixels
  int pool = 3;                                   // patches
  int tile_side() const { return patch * pool; }  // pixels
};

struct TargetImageSize {
  int height;   // pixels, rows * tile side
  int width;    // pixels, columns * tile side
  int rows;     // of tiles
  int columns;  // of tiles
  int tokens;   // rows * columns
  friend bool operator==(const TargetImageSize&, const TargetImageSize&) = default;
};

// The most tokens a picture may cost; a request chooses one of these.
inline constexpr int kImageBudgets[] = {70, 140, 280, 560, 1120};
inline constexpr int kImageBudgetDefault = 280;

// The size to which a picture of height x width pixels (as shown, at least 1 x 1) is scaled, up or
// down, so that it fills `budget` tokens: the aspect ratio is kept up to whole tiles, nothing is
// cropped or padded. A pure function; any thread.
// INVALID_ARGUMENT with Reason::kFieldInvalid ("image.budget") for a budget not in kImageBudgets.
absl::StatusOr<TargetImageSize> ComputeTargetImageSize(int height, int width, int budget,
                                                       ImageGrid grid = {});

// The rule behind it, for any number of patches. Fails as above ("image.size") when no tile fits.
absl::StatusOr<TargetImageSize> FitToPatches(int height, int width, int64_t patches_max,
                                             ImageGrid grid);

}  // namespace cleave
