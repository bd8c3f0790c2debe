#include "tests/fuzz/media_check.h"

#include <cmath>
#include <cstdint>

#include "media/audio_decode.h"
#include "media/image_decode.h"
#include "media/image_probe.h"
#include "media/image_resize.h"
#include "media/image_size.h"
#include "media/image_tiles.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace cleave::fuzz {
namespace {

constexpr MediaLimits kLimits = {.image_bytes_max = int64_t{1} << 16,
                                 .image_side_max = 512,
                                 .image_pixels_max = int64_t{1} << 14,
                                 .audio_bytes_max = int64_t{1} << 16,
                                 .audio_seconds_max = 1};

void CheckScaled(const RgbImage& image) {
  constexpr int kTiles = 4;  // a small budget, so that most of the time goes into decoding
  const ImageGrid grid;
  const absl::StatusOr<TargetImageSize> target =
      FitToPatches(image.height, image.width, int64_t{kTiles} * grid.pool * grid.pool, grid);
  CHECK(target.ok() && target->tokens >= 1 && target->tokens <= kTiles);
  const ImageTiles tiles = CutTiles(ResizeBicubic(image, target->height, target->width));
  CHECK(tiles.rows == target->rows && tiles.columns == target->columns);
  CHECK(tiles.tiles.size() == static_cast<size_t>(target->tokens) * kTileBytes);
}

}  // namespace

void CheckPicture(absl::string_view file) {
  const absl::StatusOr<ImageInfo> info = ProbeImage(file, kLimits);
  const absl::StatusOr<RgbImage> image = DecodeImage(file, kLimits);
  if (!info.ok()) {
    CHECK(GetReason(info.status()) != Reason::kUnspecified);
    CHECK(image.status() == info.status());
    return;
  }
  if (!image.ok()) {
    CHECK(GetReason(image.status()) == Reason::kMediaUndecodable);
    return;
  }
  CHECK(image->width == info->width && image->height == info->height);
  CHECK(image->pixels.size() ==
        size_t{3} * static_cast<size_t>(info->width) * static_cast<size_t>(info->height));
  CheckScaled(*image);
}

void CheckSound(absl::string_view file) {
  const absl::StatusOr<AudioInfo> info = ProbeAudio(file, kLimits);
  const absl::StatusOr<AudioFrames> audio = PrepareAudio(file, kLimits);
  if (!info.ok()) {
    CHECK(GetReason(info.status()) != Reason::kUnspecified);
    CHECK(audio.status() == info.status());
    return;
  }
  CHECK(info->data_offset + info->data_bytes <= static_cast<int64_t>(file.size()));
  if (!audio.ok()) {
    CHECK(GetReason(audio.status()) == Reason::kMediaUndecodable);
    return;
  }
  CHECK(audio->count() == info->tokens);
  for (const float sample : audio->frames) CHECK(std::isfinite(sample));
}

std::string WithMagic(absl::string_view file, size_t at, absl::string_view magic) {
  std::string forced(file);
  if (forced.size() >= at + magic.size())
    forced.replace(at, magic.size(), magic.data(), magic.size());
  return forced;
}

}  // namespace cleave::fuzz
