#include "media/image_resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "tests/media/media_files.h"

namespace cleave {
namespace {

RgbImage Noise(int width, int height, uint64_t seed) {
  std::mt19937_64 random(seed);
  RgbImage image{.height = height, .width = width, .pixels = {}};
  for (int i = 0; i < 3 * width * height; ++i) {
    image.pixels.push_back(static_cast<uint8_t>(random()));
  }
  return image;
}

double Cubic(double x) {
  x = std::abs(x);
  if (x < 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
  if (x < 2) return -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2;
  return 0;
}

// One axis of one channel in plain double precision, rounded at the end.
std::vector<double> ResizeLine(const std::vector<double>& in, int output) {
  const double scale = static_cast<double>(in.size()) / output;
  const double width = std::max(scale, 1.0);
  std::vector<double> out;
  for (int i = 0; i < output; ++i) {
    const double center = (i + 0.5) * scale;
    double sum = 0, total = 0;
    for (size_t j = 0; j < in.size(); ++j) {
      const double weight = Cubic((static_cast<double>(j) + 0.5 - center) / width);
      sum += weight * in[j];
      total += weight;
    }
    out.push_back(std::round(std::clamp(sum / total, 0.0, 255.0)));
  }
  return out;
}

TEST(ImageResize, AgreesWithTheFormula) {
  struct {
    int from, to;
  } cases[] = {{1, 5}, {2, 7}, {7, 2}, {50, 48}, {48, 96}, {96, 48}, {100, 33}, {1000, 3}};
  for (const auto& [from, to] : cases) {
    const RgbImage image = Noise(from, 1, 1);
    const RgbImage wide = ResizeBicubic(image, 1, to);
    RgbImage turned{.height = from, .width = 1, .pixels = image.pixels};
    const RgbImage tall = ResizeBicubic(turned, to, 1);
    EXPECT_EQ(tall.pixels, wide.pixels);  // both axes use the same arithmetic
    for (size_t channel = 0; channel < 3; ++channel) {
      std::vector<double> line;
      for (size_t i = channel; i < image.pixels.size(); i += 3) line.push_back(image.pixels[i]);
      const std::vector<double> expected = ResizeLine(line, to);
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(wide.pixels[3 * i + channel], expected[i], 1) << from << " to " << to;
      }
    }
  }
}

TEST(ImageResize, TheSameSizeIsTheSamePicture) {
  const RgbImage image = Noise(17, 23, 2);
  EXPECT_EQ(ResizeBicubic(image, 23, 17).pixels, image.pixels);
}

TEST(ImageResize, OneColorStaysOneColor) {
  for (const int level : {0, 1, 127, 254, 255}) {
    const RgbImage image{.height = 37,
                         .width = 29,
                         .pixels = std::vector<uint8_t>(3 * 37 * 29, static_cast<uint8_t>(level))};
    struct {
      int height, width;
    } sizes[] = {{48, 96}, {7, 5}, {1, 1}, {400, 3}};
    for (const auto& size : sizes) {
      const RgbImage out = ResizeBicubic(image, size.height, size.width);
      EXPECT_THAT(out.pixels, testing::Each(level)) << size.height;
      EXPECT_EQ(out.pixels.size(), size_t{3} * size.height * size.width);
    }
  }
}

TEST(ImageResize, OneAxisAtATimeIsTheSame) {
  const RgbImage image = Noise(61, 43, 3);
  const RgbImage both = ResizeBicubic(image, 96, 48);
  EXPECT_EQ(ResizeBicubic(ResizeBicubic(image, 43, 48), 96, 48).pixels, both.pixels);
}

TEST(ImageResize, MirrorsToTheMirroredPicture) {
  const auto mirror = [](const RgbImage& image) {
    RgbImage out = image;
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) {
        for (int c = 0; c < 3; ++c) {
          out.pixels[static_cast<size_t>(3 * (y * image.width + x) + c)] =
              image.pixels[static_cast<size_t>(3 * (y * image.width + image.width - 1 - x) + c)];
        }
      }
    }
    return out;
  };
  const RgbImage image = Noise(50, 20, 4);
  const RgbImage a = mirror(ResizeBicubic(image, 48, 96));
  const RgbImage b = ResizeBicubic(mirror(image), 48, 96);
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    EXPECT_LE(std::abs(a.pixels[i] - b.pixels[i]), 2) << i;
  }
}

TEST(ImageResize, ExtremeShrinking) {
  const RgbImage out = ResizeBicubic(Noise(16384, 2, 5), 48, 48);
  EXPECT_EQ(out.pixels.size(), size_t{3} * 48 * 48);
  // Each value is a mean of hundreds of random ones.
  for (size_t i = 0; i < out.pixels.size(); ++i) EXPECT_NEAR(out.pixels[i], 127.5, 40);
}

}  // namespace
}  // namespace cleave
