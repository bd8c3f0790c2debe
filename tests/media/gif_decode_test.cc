#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "media/image_decode.h"
#include "media/image_probe.h"
#include "tests/media/media_files.h"
#include "tests/media/picture_files.h"

namespace cleave {
namespace {

using media_test::GifFile;
using media_test::GifOptions;
using media_test::Verdict;
using testing::ElementsAre;

const std::vector<uint8_t> kTwoColors = {10, 20, 30, 200, 100, 50};

RgbImage Decode(absl::string_view file) {
  absl::StatusOr<RgbImage> image = DecodeImage(file, MediaLimits());
  EXPECT_EQ(Verdict(image.status()), "OK");
  const absl::StatusOr<ImageInfo> info = ProbeImage(file, MediaLimits());
  EXPECT_EQ(Verdict(info.status()), "OK");
  if (!image.ok() || !info.ok()) return RgbImage();
  EXPECT_EQ(image->width, info->width);
  EXPECT_EQ(image->height, info->height);
  return *std::move(image);
}

// The red channel, enough to tell the colors apart.
std::vector<int> Reds(absl::string_view file) {
  const RgbImage image = Decode(file);
  std::vector<int> reds;
  for (size_t i = 0; i < image.pixels.size(); i += 3) reds.push_back(image.pixels[i]);
  return reds;
}

TEST(GifDecode, PaletteColors) {
  EXPECT_THAT(Decode(GifFile(2, 1, {0, 1}, {.palette = kTwoColors})).pixels,
              ElementsAre(10, 20, 30, 200, 100, 50));
  const GifOptions local = {.palette = kTwoColors, .local_palette = {1, 2, 3, 4, 5, 6}};
  EXPECT_THAT(Decode(GifFile(2, 1, {0, 1}, local)).pixels, ElementsAre(1, 2, 3, 4, 5, 6));
}

// What the reference's reader makes of files without colors: measured.
TEST(GifDecode, WithoutATableLevelsAndBeyondItBlack) {
  EXPECT_THAT(Reds(GifFile(3, 1, {0, 1, 100}, {})), ElementsAre(0, 1, 100));
  EXPECT_THAT(Reds(GifFile(4, 1, {0, 1, 2, 100}, {.palette = kTwoColors})),
              ElementsAre(10, 200, 0, 0));
}

TEST(GifDecode, TransparencyIsLaidOnWhite) {
  EXPECT_THAT(Decode(GifFile(2, 1, {0, 1}, {.palette = kTwoColors, .transparent = 1})).pixels,
              ElementsAre(10, 20, 30, 255, 255, 255));
}

TEST(GifDecode, FramesThatDoNotCoverTheScreen) {
  GifOptions options = {.palette = kTwoColors, .left = 1, .screen_width = 4};
  EXPECT_THAT(Reds(GifFile(2, 1, {1, 1}, options)), ElementsAre(10, 200, 200, 10));
  options.transparent = 0;
  EXPECT_THAT(Reds(GifFile(2, 1, {1, 1}, options)), ElementsAre(255, 200, 200, 255));
  // One that reaches beyond the screen widens it.
  options = {.palette = kTwoColors, .left = 3, .top = 1, .screen_width = 4, .screen_height = 1};
  EXPECT_THAT(Reds(GifFile(2, 1, {1, 1}, options)),
              ElementsAre(10, 10, 10, 10, 10, 10, 10, 10, 200, 200));
}

TEST(GifDecode, InterlacedEqualsPlain) {
  for (const int height : {1, 2, 3, 5, 8, 9, 17}) {
    std::vector<uint8_t> indices(3 * static_cast<size_t>(height));
    for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<uint8_t>(i % 120);
    EXPECT_EQ(Reds(GifFile(3, height, indices, {.interlaced = true})),
              Reds(GifFile(3, height, indices, {})))
        << height;
  }
}

TEST(GifDecode, OfAnAnimationTheFirstFrame) {
  const std::string second = GifFile(2, 1, {0, 0}, {.palette = kTwoColors}).substr(13 + 6);
  const std::string comment("!\xfe\x05hello\0", 9);
  EXPECT_THAT(
      Reds(GifFile(2, 1, {0, 1},
                   {.palette = kTwoColors, .before_frame = comment, .after_frame = second})),
      ElementsAre(10, 200));
}

TEST(GifDecode, LimitsAreThoseOfTheWidenedScreen) {
  const std::string file = GifFile(2, 1, {0, 1}, {.palette = kTwoColors, .left = 98});
  EXPECT_EQ(Verdict(ProbeImage(file, {.image_side_max = 100}).status()), "OK");
  EXPECT_EQ(Verdict(ProbeImage(file, {.image_side_max = 99}).status()), "MEDIA_LIMIT image.width");
}

TEST(GifDecode, DamagedFiles) {
  EXPECT_EQ(Verdict(ProbeImage(GifFile(0, 1, {}, {}), MediaLimits()).status()),
            "MEDIA_UNDECODABLE image");
  const std::string file =
      GifFile(23, 5, std::vector<uint8_t>(23 * 5, 1), {.palette = kTwoColors, .transparent = 0});
  for (size_t size = 0; size + 2 < file.size();
       ++size) {  // the last two bytes end what is complete
    ASSERT_EQ(Verdict(DecodeImage(file.substr(0, size), MediaLimits()).status()),
              "MEDIA_UNDECODABLE image")
        << size << " of " << file.size();
  }
  std::mt19937_64 random(7);
  for (size_t at = 0; at < file.size(); ++at) {
    std::string changed = file;
    changed[at] = static_cast<char>(random());
    const absl::StatusOr<RgbImage> image = DecodeImage(changed, MediaLimits());
    if (image.ok()) continue;
    EXPECT_NE(GetReason(image.status()), Reason::kUnspecified);
  }
}

}  // namespace
}  // namespace cleave
