#include "media/image_tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "media/image_probe.h"
#include "media/image_size.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::Gradient;
using media_test::JpegFile;
using media_test::PngFile;
using media_test::Verdict;

TEST(ImageTiles, AreCutRowByRow) {
  RgbImage image{.height = 96, .width = 144, .pixels = std::vector<uint8_t>(3 * 96 * 144)};
  for (size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>(i * 31 >> 3);
  const ImageTiles tiles = CutTiles(image);
  ASSERT_EQ(tiles.rows, 2);
  ASSERT_EQ(tiles.columns, 3);
  ASSERT_EQ(tiles.count(), 6);
  ASSERT_EQ(tiles.tiles.size(), 6 * kTileBytes);
  for (int index = 0; index < 6; ++index) {
    const TilePosition position = tiles.position(index);
    EXPECT_EQ(position, (TilePosition{index % 3, index / 3}));
    for (int r = 0; r < 48; ++r) {
      for (int c = 0; c < 48; ++c) {
        for (int ch = 0; ch < 3; ++ch) {
          const int y = position.y * 48 + r, x = position.x * 48 + c;
          ASSERT_EQ(tiles.tile(index)[static_cast<size_t>((r * 48 + c) * 3 + ch)],
                    image.pixels[static_cast<size_t>((y * 144 + x) * 3 + ch)]);
        }
      }
    }
  }
}

TEST(ImageTiles, ElementOrderOfTheSpecification) {
  RgbImage image{.height = 48, .width = 48, .pixels = std::vector<uint8_t>(kTileBytes)};
  image.pixels[(1 * 48 + 0) * 3 + 2] = 99;
  EXPECT_EQ(CutTiles(image).tile(0)[146], 99);
}

TEST(ImageTiles, PreparedPicturesHaveTheProbedSize) {
  struct {
    int width, height;
  } sizes[] = {{1, 1}, {48, 48}, {200, 100}, {3, 700}, {700, 3}};
  for (const auto& size : sizes) {
    for (const int orientation : {1, 6}) {
      const std::string file =
          PngFile(Gradient(size.width, size.height), {.orientation = orientation});
      const auto info = ProbeImage(file, MediaLimits());
      ASSERT_TRUE(info.ok());
      for (const int budget : {70, 280}) {
        const auto target = ComputeTargetImageSize(info->height, info->width, budget);
        const auto tiles = PrepareImage(file, budget, MediaLimits());
        ASSERT_TRUE(target.ok() && tiles.ok());
        EXPECT_EQ(tiles->rows, target->rows);
        EXPECT_EQ(tiles->columns, target->columns);
        EXPECT_EQ(tiles->tiles.size(), static_cast<size_t>(target->tokens) * kTileBytes);
      }
    }
  }
}

TEST(ImageTiles, ErrorsComeThrough) {
  const std::string file = JpegFile(Gradient(20, 20));
  EXPECT_EQ(Verdict(PrepareImage(file, 100, MediaLimits()).status()), "FIELD_INVALID image.budget");
  EXPECT_EQ(Verdict(PrepareImage(file, 70, {.image_side_max = 19}).status()),
            "MEDIA_LIMIT image.width");
  EXPECT_EQ(Verdict(PrepareImage(absl::string_view("II*\0", 4), 70, MediaLimits()).status()),
            "MEDIA_UNSUPPORTED image");
  EXPECT_EQ(Verdict(PrepareImage(file.substr(0, file.size() - 30), 70, MediaLimits()).status()),
            "MEDIA_UNDECODABLE image");
}

}  // namespace
}  // namespace cleave
