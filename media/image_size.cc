#include "media/image_size.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

absl::Status NoTileFits(int height, int width) {
  return InvalidField(Reason::kFieldInvalid, "image.size", "a picture that fills at least one tile",
                      absl::StrCat(width, " x ", height, " pixels"));
}

}  // namespace

absl::StatusOr<TargetImageSize> ComputeTargetImageSize(int height, int width, int budget,
                                                       ImageGrid grid) {
  if (std::find(std::begin(kImageBudgets), std::end(kImageBudgets), budget) ==
      std::end(kImageBudgets)) {
    return InvalidField(Reason::kFieldInvalid, "image.budget", absl::StrJoin(kImageBudgets, ", "),
                        absl::StrCat(budget));
  }
  return FitToPatches(height, width, int64_t{budget} * grid.pool * grid.pool, grid);
}

absl::StatusOr<TargetImageSize> FitToPatches(int height, int width, int64_t patches_max,
                                             ImageGrid grid) {
  if (height < 1 || width < 1) return NoTileFits(height, width);
  const int64_t side = grid.tile_side();
  const int64_t pixels_max = patches_max * grid.patch * grid.patch;
  // The reference's arithmetic, operation by operation, in double precision.
  const double factor =
      std::sqrt(static_cast<double>(pixels_max) / static_cast<double>(int64_t{height} * width));
  int64_t rows = static_cast<int64_t>(std::floor(factor * height / static_cast<double>(side)));
  int64_t columns = static_cast<int64_t>(std::floor(factor * width / static_cast<double>(side)));
  const int64_t tiles_max = patches_max / (int64_t{grid.pool} * grid.pool);
  if (rows == 0 && columns == 0) return NoTileFits(height, width);
  if (rows == 0) {  // a very wide strip
    rows = 1;
    columns = std::min<int64_t>(width / height, tiles_max);
  } else if (columns == 0) {  // a very tall one
    columns = 1;
    rows = std::min<int64_t>(height / width, tiles_max);
  }
  if (rows * columns < 1 || rows * side * columns * side > pixels_max) {
    return NoTileFits(height, width);
  }
  return TargetImageSize{.height = static_cast<int>(rows * side),
                         .width = static_cast<int>(columns * side),
                         .rows = static_cast<int>(rows),
                         .columns = static_cast<int>(columns),
                         .tokens = static_cast<int>(rows * columns)};
}

}  // namespace cleave
