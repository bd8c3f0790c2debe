#include "media/image_decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "media/image_probe.h"
#include "media/jpeg_decode.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::Gradient;
using media_test::JpegFile;
using media_test::PngFile;
using media_test::PngOptions;
using media_test::Verdict;
using testing::ElementsAre;

RgbImage Decode(absl::string_view file) {
  absl::StatusOr<RgbImage> image = DecodeImage(file, MediaLimits());
  EXPECT_EQ(Verdict(image.status()), "OK");
  return image.ok() ? *std::move(image) : RgbImage();
}

std::vector<uint8_t> PixelAt(const RgbImage& image, int x, int y) {
  const auto at = image.pixels.begin() + 3 * (y * image.width + x);
  return {at, at + 3};
}

int LargestDifference(const RgbImage& a, const RgbImage& b) {
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  int largest = 0;
  for (size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i) {
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return largest;
}

TEST(ImageDecode, PngIsExact) {
  const RgbImage picture = Gradient(31, 17);
  const RgbImage decoded = Decode(PngFile(picture));
  EXPECT_EQ(decoded.width, 31);
  EXPECT_EQ(decoded.height, 17);
  EXPECT_EQ(decoded.pixels, picture.pixels);
}

TEST(ImageDecode, InterlacedPngIsExact) {
  for (const int width : {1, 2, 3, 4, 5, 8, 9, 33}) {
    const RgbImage picture = Gradient(width, 11);
    EXPECT_EQ(Decode(PngFile(picture, {.interlaced = true})).pixels, picture.pixels) << width;
  }
}

TEST(ImageDecode, JpegIsClose) {
  const RgbImage picture = Gradient(64, 48);
  EXPECT_LE(LargestDifference(Decode(JpegFile(picture)), picture), 12);
}

TEST(ImageDecode, ProgressiveJpegEqualsBaseline) {
  const RgbImage picture = Gradient(67, 41);
  EXPECT_EQ(Decode(JpegFile(picture, {.progressive = true})).pixels,
            Decode(JpegFile(picture)).pixels);
}

TEST(ImageDecode, GrayJpegHasEqualChannels) {
  const RgbImage decoded = Decode(JpegFile(Gradient(32, 16), {.gray = true}));
  for (size_t i = 0; i < decoded.pixels.size(); i += 3) {
    EXPECT_EQ(decoded.pixels[i], decoded.pixels[i + 1]);
    EXPECT_EQ(decoded.pixels[i], decoded.pixels[i + 2]);
  }
}

// Where stored pixel (x, y) of a w x h file is shown, from the EXIF standard's words: the stored
// row 0 and column 0 are the named sides of the picture.
std::pair<int, int> Shown(int orientation, int x, int y, int w, int h) {
  switch (orientation) {
    case 1:
      return {x, y};  // row 0 top, column 0 left
    case 2:
      return {w - 1 - x, y};  // top, right
    case 3:
      return {w - 1 - x, h - 1 - y};  // bottom, right
    case 4:
      return {x, h - 1 - y};  // bottom, left
    case 5:
      return {y, x};  // left, top
    case 6:
      return {h - 1 - y, x};  // right, top
    case 7:
      return {h - 1 - y, w - 1 - x};  // right, bottom
    default:
      return {y, w - 1 - x};  // left, bottom
  }
}

TEST(ImageDecode, AppliesAllOrientations) {
  constexpr int kWidth = 21, kHeight = 13;
  const RgbImage picture = Gradient(kWidth, kHeight);
  const RgbImage plain_jpeg = Decode(JpegFile(picture));
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const RgbImage png = Decode(PngFile(picture, {.orientation = orientation}));
    const RgbImage interlaced =
        Decode(PngFile(picture, {.interlaced = true, .orientation = orientation}));
    const RgbImage jpeg = Decode(JpegFile(picture, {.orientation = orientation}));
    ASSERT_EQ(png.width, orientation < 5 ? kWidth : kHeight);
    ASSERT_EQ(jpeg.height, orientation < 5 ? kHeight : kWidth);
    EXPECT_EQ(interlaced.pixels, png.pixels);
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        const auto [shown_x, shown_y] = Shown(orientation, x, y, kWidth, kHeight);
        ASSERT_EQ(PixelAt(png, shown_x, shown_y), PixelAt(picture, x, y)) << orientation;
        ASSERT_EQ(PixelAt(jpeg, shown_x, shown_y), PixelAt(plain_jpeg, x, y)) << orientation;
      }
    }
  }
}

TEST(ImageDecode, AlphaIsLaidOnWhite) {
  const RgbImage rgba = Decode(PngFile(
      2, 2, {10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128, 200, 100, 0, 51}, {.color_type = 6}));
  EXPECT_THAT(PixelAt(rgba, 0, 0), ElementsAre(10, 20, 30));
  EXPECT_THAT(PixelAt(rgba, 1, 0), ElementsAre(255, 255, 255));
  EXPECT_THAT(PixelAt(rgba, 0, 1), ElementsAre(127, 127, 127));
  EXPECT_THAT(PixelAt(rgba, 1, 1), ElementsAre(244, 224, 204));
  const RgbImage gray = Decode(PngFile(2, 1, {10, 255, 0, 128}, {.color_type = 4}));
  EXPECT_THAT(gray.pixels, ElementsAre(10, 10, 10, 127, 127, 127));
}

TEST(ImageDecode, AlphaRoundsToTheNearest) {
  std::vector<uint8_t> samples;
  for (int alpha = 0; alpha < 256; ++alpha) {
    for (const int value : {0, 1, 77, 128, 254, 255}) {
      samples.insert(samples.end(), {static_cast<uint8_t>(value), static_cast<uint8_t>(alpha)});
    }
  }
  const RgbImage image = Decode(PngFile(6, 256, samples, {.color_type = 4}));
  for (size_t i = 0; i < samples.size() / 2; ++i) {
    const double alpha = samples[2 * i + 1] / 255.0;
    const double exact = samples[2 * i] * alpha + 255.0 * (1.0 - alpha);
    EXPECT_NEAR(image.pixels[3 * i], exact, 0.5001) << i;
  }
}

TEST(ImageDecode, PaletteWithTransparency) {
  const PngOptions options = {.color_type = 3,
                              .bit_depth = 2,
                              .palette = {255, 0, 0, 0, 255, 0, 0, 0, 255},
                              .palette_alpha = {255, 0}};
  const RgbImage image = Decode(PngFile(3, 1, {0, 1, 2}, options));
  EXPECT_THAT(image.pixels, ElementsAre(255, 0, 0, 255, 255, 255, 0, 0, 255));
}

TEST(ImageDecode, PaletteIndexOutsideThePaletteIsNoCrash) {
  const PngOptions options = {.color_type = 3, .palette = {9, 9, 9}};
  const absl::StatusOr<RgbImage> image =
      DecodeImage(PngFile(2, 1, {0, 200}, options), MediaLimits());
  if (!image.ok()) {
    EXPECT_EQ(Verdict(image.status()), "MEDIA_UNDECODABLE image");
  }
}

TEST(ImageDecode, GrayOfFewBitsIsSpreadOverTheRange) {
  EXPECT_THAT(Decode(PngFile(2, 1, {0, 1}, {.color_type = 0, .bit_depth = 1})).pixels,
              ElementsAre(0, 0, 0, 255, 255, 255));
  EXPECT_THAT(Decode(PngFile(2, 1, {1, 2}, {.color_type = 0, .bit_depth = 2})).pixels,
              ElementsAre(85, 85, 85, 170, 170, 170));
  EXPECT_THAT(Decode(PngFile(2, 1, {1, 15}, {.color_type = 0, .bit_depth = 4})).pixels,
              ElementsAre(17, 17, 17, 255, 255, 255));
}

TEST(ImageDecode, OfSixteenBitsTheUpperOnesAreKept) {
  EXPECT_THAT(
      Decode(PngFile(2, 1, {0x12, 0xff, 0xff, 0xff}, {.color_type = 0, .bit_depth = 16})).pixels,
      ElementsAre(0x12, 0x12, 0x12, 255, 255, 255));
  EXPECT_THAT(Decode(PngFile(1, 1, {1, 9, 2, 9, 3, 9}, {.color_type = 2, .bit_depth = 16})).pixels,
              ElementsAre(1, 2, 3));
  EXPECT_THAT(Decode(PngFile(2, 1, {1, 0, 2, 0, 3, 0, 0xff, 0xff, 1, 0, 2, 0, 3, 0, 0, 0xff},
                             {.color_type = 6, .bit_depth = 16}))
                  .pixels,
              ElementsAre(1, 2, 3, 255, 255, 255));
}

// Adobe's polarity: the file holds light, not ink.
TEST(ImageDecode, CmykJpeg) {
  RgbImage picture = Gradient(16, 16);
  std::fill(picture.pixels.begin(), picture.pixels.end(), uint8_t{255});
  EXPECT_THAT(Decode(JpegFile(picture, {.cmyk = true})).pixels, testing::Each(255));
  std::fill(picture.pixels.begin(), picture.pixels.end(), uint8_t{128});
  EXPECT_THAT(Decode(JpegFile(picture, {.cmyk = true})).pixels, testing::Each(64));
}

TEST(ImageDecode, ColorKeyIsTransparent) {
  EXPECT_THAT(Decode(PngFile(2, 1, {7, 8}, {.color_type = 0, .transparent_gray = 7})).pixels,
              ElementsAre(255, 255, 255, 8, 8, 8));
}

TEST(ImageDecode, EveryTruncationIsRefused) {
  const RgbImage picture = Gradient(23, 19);
  for (const std::string& file :
       {PngFile(picture), PngFile(picture, {.interlaced = true}), JpegFile(picture),
        JpegFile(picture, {.orientation = 6, .progressive = true}),
        JpegFile(picture, {.gray = true})}) {
    for (size_t size = 0; size < file.size(); ++size) {
      const absl::StatusOr<RgbImage> image =
          DecodeImage(absl::string_view(file).substr(0, size), MediaLimits());
      ASSERT_EQ(Verdict(image.status()), "MEDIA_UNDECODABLE image")
          << size << " of " << file.size();
    }
  }
}

TEST(ImageDecode, ChangedBytesNeverCrash) {
  std::mt19937_64 random(7);
  for (const std::string& file : {PngFile(Gradient(23, 19)), JpegFile(Gradient(23, 19)),
                                  JpegFile(Gradient(23, 19), {.progressive = true})}) {
    for (size_t at = 0; at < file.size(); ++at) {
      std::string changed = file;
      changed[at] = static_cast<char>(random());
      const absl::StatusOr<ImageInfo> info = ProbeImage(changed, MediaLimits());
      const absl::StatusOr<RgbImage> image = DecodeImage(changed, MediaLimits());
      if (image.ok()) {
        ASSERT_TRUE(info.ok());
        EXPECT_EQ(image->width, info->width);
        EXPECT_EQ(image->height, info->height);
      } else {
        EXPECT_NE(GetReason(image.status()), Reason::kUnspecified);
      }
    }
  }
}

TEST(ImageDecode, ScansAreLimited) {
  const RgbImage picture = Gradient(16, 16);
  // Gray: 64 scans, at the limit. Color: 190.
  static_assert(kJpegScansMax == 64);
  Decode(JpegFile(picture, {.gray = true, .scan_for_each = true}));
  const absl::StatusOr<RgbImage> image =
      DecodeImage(JpegFile(picture, {.scan_for_each = true}), MediaLimits());
  EXPECT_EQ(Verdict(image.status()), "MEDIA_UNDECODABLE image");
}

TEST(ImageDecode, LimitsHoldBeforeDecoding) {
  const absl::StatusOr<RgbImage> image =
      DecodeImage(PngFile(Gradient(10, 10)), {.image_pixels_max = 99});
  EXPECT_EQ(Verdict(image.status()), "MEDIA_LIMIT image.pixels");
}

TEST(ImageDecode, ErrorTextIsFixed) {
  const std::string png = PngFile(Gradient(10, 10));
  std::string damaged = png;
  damaged[png.find("IDAT") + 8] ^= 1;
  EXPECT_EQ(DecodeImage(damaged, MediaLimits()).status().message(),
            "image: found a damaged PNG file, allowed is an intact JPEG, PNG, WebP or GIF file");
}

}  // namespace
}  // namespace cleave
