#include "media/image_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::Gradient;
using media_test::JpegFile;
using media_test::PngChunk;
using media_test::PngFile;
using media_test::PngHeader;
using media_test::Verdict;

std::string Probe(absl::string_view file, const MediaLimits& limits = {}) {
  return Verdict(ProbeImage(file, limits).status());
}

TEST(ImageProbe, ReadsSizeAndKind) {
  for (const bool progressive : {false, true}) {
    const auto jpeg =
        ProbeImage(JpegFile(Gradient(31, 17), {.progressive = progressive}), MediaLimits());
    ASSERT_TRUE(jpeg.ok());
    EXPECT_EQ(jpeg->kind, ImageKind::kJpeg);
    EXPECT_EQ(jpeg->width, 31);
    EXPECT_EQ(jpeg->height, 17);
    EXPECT_EQ(jpeg->orientation, 1);
  }
  const auto png = ProbeImage(PngFile(Gradient(31, 17)), MediaLimits());
  ASSERT_TRUE(png.ok());
  EXPECT_EQ(png->kind, ImageKind::kPng);
  EXPECT_EQ(png->width, 31);
  EXPECT_EQ(png->height, 17);
}

TEST(ImageProbe, OrientationSwapsTheSides) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const std::string& file : {JpegFile(Gradient(30, 20), {.orientation = orientation}),
                                    PngFile(Gradient(30, 20), {.orientation = orientation})}) {
      const auto info = ProbeImage(file, MediaLimits());
      ASSERT_TRUE(info.ok());
      EXPECT_EQ(info->orientation, orientation);
      EXPECT_EQ(info->width, orientation < 5 ? 30 : 20);
      EXPECT_EQ(info->height, orientation < 5 ? 20 : 30);
      EXPECT_EQ(info->stored_width, 30);
      EXPECT_EQ(info->stored_height, 20);
    }
  }
}

// As Pillow reads it: the head that belongs to JPEG is passed over in a PNG.
TEST(ImageProbe, ReadsAnOrientationBehindAJpegHead) {
  const std::string exif = std::string("Exif\0\0", 6) + media_test::ExifData(6);
  const auto info =
      ProbeImage(PngHeader(30, 20) + PngChunk("eXIf", exif) + PngChunk("IEND", ""), MediaLimits());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->orientation, 6);
}

TEST(ImageProbe, LimitsHoldAtTheLimitAndOneOver) {
  for (const std::string& file : {JpegFile(Gradient(30, 20)), PngFile(Gradient(30, 20))}) {
    const auto bytes = static_cast<int64_t>(file.size());
    EXPECT_EQ(Probe(file, {.image_bytes_max = bytes}), "OK");
    EXPECT_EQ(Probe(file, {.image_bytes_max = bytes - 1}), "MEDIA_LIMIT image.bytes");
    EXPECT_EQ(Probe(file, {.image_side_max = 30}), "OK");
    EXPECT_EQ(Probe(file, {.image_side_max = 29}), "MEDIA_LIMIT image.width");
    EXPECT_EQ(Probe(file, {.image_side_max = 19}), "MEDIA_LIMIT image.width");
    EXPECT_EQ(Probe(file, {.image_pixels_max = 600}), "OK");
    EXPECT_EQ(Probe(file, {.image_pixels_max = 599}), "MEDIA_LIMIT image.pixels");
  }
}

TEST(ImageProbe, HeadersThatLieAreMeasuredByWhatTheyClaim) {
  std::string png = PngHeader(65535, 65535);
  png.resize(100);
  EXPECT_EQ(Probe(png), "MEDIA_LIMIT image.width");
  EXPECT_EQ(Probe(PngHeader(10000, 10000)), "MEDIA_LIMIT image.pixels");
  EXPECT_EQ(Probe(PngHeader(0xffffffff, 1)), "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe(PngHeader(0, 1)), "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe(PngHeader(10, 10)), "MEDIA_UNDECODABLE image");  // and nothing behind it

  std::string jpeg = JpegFile(Gradient(8, 8));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(Probe(jpeg), "MEDIA_LIMIT image.width");
  jpeg.replace(frame + 5, 4, std::string("\0\0\0\x08", 4));  // height 0: told later, by DNL
  EXPECT_EQ(Probe(jpeg), "MEDIA_UNDECODABLE image");
}

TEST(ImageProbe, KindsThatAreNotRead) {
  const auto bytes = [](const char* text, size_t size) {
    return std::string(text, size) + std::string(40, '\0');
  };
  const struct {
    std::string file;
    std::string name;
  } cases[] = {
      {bytes("BM\x46\0\0\0", 6), "BMP"},
      {bytes("RIFF\x10\0\0\0WAVEfmt ", 16), "a sound (WAV)"},
      {bytes("\0\0\0\x18"
             "ftypheic",
             12),
       "HEIC"},
      {bytes("\0\0\0\x1c"
             "ftypavif",
             12),
       "AVIF"},
      {bytes("II*\0", 4), "TIFF"},
      {bytes("<svg xmlns=", 11), "SVG"},
  };
  for (const auto& entry : cases) {
    const absl::Status status = ProbeImage(entry.file, MediaLimits()).status();
    EXPECT_EQ(Verdict(status), "MEDIA_UNSUPPORTED image") << entry.name;
    EXPECT_EQ(GetErrorDetail(status)->actual, entry.name);
    EXPECT_TRUE(absl::StrContains(GetErrorDetail(status)->limit, "JPEG"));
  }
  for (const char frame : {'\xc3', '\xc5', '\xc9', '\xca', '\xcf'}) {
    std::string jpeg = JpegFile(Gradient(8, 8));
    jpeg[jpeg.find("\xff\xc0") + 1] = frame;
    EXPECT_EQ(Probe(jpeg), "MEDIA_UNSUPPORTED image");
  }
}

TEST(ImageProbe, GarbageIsUndecodable) {
  EXPECT_EQ(Probe(""), "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe("x"), "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe(std::string(5000, 'x')), "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe(std::string(5000, '\0')), "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe("\xff\xd8" + std::string(5000, '\xff')), "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe(PngHeader(5, 5, 3, 2)), "MEDIA_UNDECODABLE image");  // no such depth
  EXPECT_EQ(Probe(PngHeader(5, 5, 8, 1)), "MEDIA_UNDECODABLE image");  // no such color type
  EXPECT_EQ(Probe(PngHeader(5, 5) + PngChunk("IHDR", std::string(13, '\0'))),
            "MEDIA_UNDECODABLE image");
  EXPECT_EQ(Probe(absl::StrCat("\x89PNG\r\n\x1a\n", PngChunk("IDAT", ""))),
            "MEDIA_UNDECODABLE image");
}

TEST(ImageProbe, EveryTruncationHasATypedVerdict) {
  const std::string png = PngFile(Gradient(9, 7), {.orientation = 6});
  for (size_t size = 0; size < png.size(); ++size) {
    EXPECT_EQ(Probe(png.substr(0, size)), "MEDIA_UNDECODABLE image") << size;
  }
  // The probe of a JPEG ends where the pixels begin.
  const std::string jpeg = JpegFile(Gradient(9, 7), {.orientation = 6});
  const size_t scan = jpeg.find("\xff\xda");
  for (size_t size = 0; size < jpeg.size(); ++size) {
    EXPECT_EQ(Probe(jpeg.substr(0, size)), size < scan + 2 ? "MEDIA_UNDECODABLE image" : "OK")
        << size;
  }
}

TEST(ImageProbe, ErrorsPointIntoTheRequest) {
  const absl::Status status = PrefixField(ProbeImage("x", MediaLimits()).status(), "messages[0]");
  EXPECT_EQ(GetErrorDetail(status)->field, "messages[0].image");
}

}  // namespace
}  // namespace cleave
