#include "media/exif_orientation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::ExifData;

TEST(ExifOrientation, ReadsBothByteOrders) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(ReadExifOrientation(ExifData(orientation, /*big_endian=*/true)), orientation);
    EXPECT_EQ(ReadExifOrientation(ExifData(orientation, /*big_endian=*/false)), orientation);
  }
}

TEST(ExifOrientation, UprightWhenTheValueIsNone) {
  EXPECT_EQ(ReadExifOrientation(ExifData(0)), 1);
  EXPECT_EQ(ReadExifOrientation(ExifData(9)), 1);
  EXPECT_EQ(ReadExifOrientation(""), 1);
  EXPECT_EQ(ReadExifOrientation("no EXIF data at all, but long enough"), 1);
}

TEST(ExifOrientation, UprightWhenCutShort) {
  const std::string data = ExifData(6);
  constexpr size_t kValueEnd = 8 + 2 + 10;
  for (size_t size = 0; size < kValueEnd; ++size) {
    EXPECT_EQ(ReadExifOrientation(absl::string_view(data).substr(0, size)), 1) << size;
  }
  EXPECT_EQ(ReadExifOrientation(absl::string_view(data).substr(0, kValueEnd)), 6);
}

TEST(ExifOrientation, UprightWhenTheDirectoryLiesOutside) {
  std::string data = ExifData(6, /*big_endian=*/false);
  data.replace(4, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(ReadExifOrientation(data), 1);
}

}  // namespace
}  // namespace cleave
