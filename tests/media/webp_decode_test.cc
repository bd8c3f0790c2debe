#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "media/image_decode.h"
#include "media/image_probe.h"
#include "tests/media/media_files.h"
#include "tests/media/picture_files.h"

namespace cleave {
namespace {

using media_test::AnimatedWebp;
using media_test::ExtendedWebp;
using media_test::Gradient;
using media_test::Verdict;
using media_test::WebpFile;
using testing::ElementsAre;

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

TEST(WebpDecode, LosslessIsExactAndLossyClose) {
  const RgbImage picture = Gradient(31, 17);
  EXPECT_EQ(Decode(WebpFile(picture, true)).pixels, picture.pixels);
  const RgbImage lossy = Decode(WebpFile(picture, false));
  ASSERT_EQ(lossy.pixels.size(), picture.pixels.size());
  for (size_t i = 0; i < lossy.pixels.size(); ++i) {
    EXPECT_NEAR(lossy.pixels[i], picture.pixels[i], 16);
  }
}

TEST(WebpDecode, AlphaIsLaidOnWhite) {
  const std::vector<uint8_t> pixels = {10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128};
  EXPECT_THAT(Decode(WebpFile(3, 1, pixels, true)).pixels,
              ElementsAre(10, 20, 30, 255, 255, 255, 127, 127, 127));
}

TEST(WebpDecode, ExifOrientationIsApplied) {
  const RgbImage picture = Gradient(8, 5);
  const std::string simple = WebpFile(picture, true);
  const RgbImage turned = Decode(ExtendedWebp(simple, 8, 5, 6));
  ASSERT_EQ(turned.width, 5);
  ASSERT_EQ(turned.height, 8);
  for (int x = 0; x < 8; ++x) {  // the stored top row is the right column
    const auto at = static_cast<size_t>(3 * (x * 5 + 4));
    EXPECT_EQ(turned.pixels[at], picture.pixels[static_cast<size_t>(3 * x)]);
  }
  EXPECT_EQ(Decode(ExtendedWebp(simple, 8, 5, 1)).pixels, picture.pixels);
}

TEST(WebpDecode, OfAnAnimationTheFirstFrame) {
  const RgbImage first = Gradient(4, 3);
  const std::string second = WebpFile(Gradient(6, 5), true);
  for (const bool has_alpha : {false, true}) {
    const RgbImage image = Decode(
        AnimatedWebp(6, 5, {{WebpFile(first, true), 2, 2, 4, 3}, {second, 0, 0, 6, 5}}, has_alpha));
    ASSERT_EQ(image.width, 6);
    // Around it nothing: white where the file has transparency, else black, as the reference sees
    // it.
    EXPECT_EQ(image.pixels[0], has_alpha ? 255 : 0);
    for (size_t y = 0; y < 3; ++y) {
      for (size_t x = 0; x < 12; ++x) {
        EXPECT_EQ(image.pixels[(y + 2) * 18 + 6 + x], first.pixels[y * 12 + x]);
      }
    }
  }
}

TEST(WebpDecode, SizesThatDisagreeAreRefused) {
  const std::string simple = WebpFile(Gradient(8, 5), true);
  EXPECT_EQ(Verdict(DecodeImage(ExtendedWebp(simple, 9, 5, 1), MediaLimits()).status()),
            "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Verdict(ProbeImage(ExtendedWebp(simple, 16777216, 5, 1), MediaLimits()).status()),
            "MEDIA_LIMIT image.width");
  EXPECT_EQ(
      Verdict(
          DecodeImage(AnimatedWebp(4, 4, {{simple, 0, 0, 8, 5}}, true), MediaLimits()).status()),
      "MEDIA_UNDECODABLE image");
}

TEST(WebpDecode, EveryTruncationIsRefused) {
  const RgbImage picture = Gradient(23, 19);
  for (const std::string& file :
       {WebpFile(picture, true), WebpFile(picture, false),
        ExtendedWebp(WebpFile(picture, false), 23, 19, 6),
        AnimatedWebp(23, 19, {{WebpFile(picture, true), 0, 0, 23, 19}}, false)}) {
    for (size_t size = 0; size < file.size(); ++size) {
      ASSERT_EQ(Verdict(DecodeImage(file.substr(0, size), MediaLimits()).status()),
                "MEDIA_UNDECODABLE image")
          << size << " of " << file.size();
    }
  }
}

TEST(WebpDecode, ChangedBytesNeverCrash) {
  std::mt19937_64 random(7);
  for (const std::string& file :
       {WebpFile(Gradient(23, 19), true), WebpFile(Gradient(23, 19), false)}) {
    for (size_t at = 0; at < file.size(); ++at) {
      std::string changed = file;
      changed[at] = static_cast<char>(random());
      const absl::StatusOr<RgbImage> image = DecodeImage(changed, MediaLimits());
      if (image.ok()) continue;
      EXPECT_NE(GetReason(image.status()), Reason::kUnspecified);
    }
  }
}

}  // namespace
}  // namespace cleave
