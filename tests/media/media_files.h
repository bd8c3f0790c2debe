// Makes the picture and sound files that the media tests read, in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "media/image_canvas.h"
#include "runtime/base/error.h"

namespace cleave::media_test {

// A smooth picture whose every pixel tells where it is.
RgbImage Gradient(int width, int height);

// EXIF data (a TIFF file with one directory) that holds the orientation.
std::string ExifData(int orientation, bool big_endian = true);

struct JpegOptions {
  int quality = 95;
  int orientation = 0;  // 0: no EXIF data
  bool progressive = false;
  bool gray = false;           // from the red channel
  bool cmyk = false;           // four components, values of no importance
  bool scan_for_each = false;  // progressive, each coefficient of each component in its own scan
};
std::string JpegFile(const RgbImage& image, const JpegOptions& options = {});

struct PngOptions {
  int color_type = 2;  // 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGBA
  int bit_depth = 8;
  bool interlaced = false;
  int orientation = 0;                      // 0: no EXIF data
  std::vector<uint8_t> palette = {};        // r, g, b, r, g, b, ...
  std::vector<uint8_t> palette_alpha = {};  // of the first entries
  int transparent_gray = -1;                // the color key of a gray file; -1: none
};
// samples: [height, width, channels], one byte each (two, big-endian, at bit depth 16).
std::string PngFile(int width, int height, const std::vector<uint8_t>& samples,
                    const PngOptions& options);
std::string PngFile(const RgbImage& image, const PngOptions& options = {});

// A chunk with a zero checksum.
std::string PngChunk(absl::string_view type, absl::string_view data);
// Signature and IHDR alone.
std::string PngHeader(uint32_t width, uint32_t height, int bit_depth = 8, int color_type = 2);

struct WavOptions {
  int tag = 1;  // 1 PCM, 3 float
  int channels = 1;
  int64_t sample_rate = 16000;
  int bits = 16;
  int container_bits = 0;  // 0: bits
  bool extensible = false;
  std::string before_data = {};  // chunks between "fmt " and "data"
  int64_t claimed_bytes = -1;    // in the data chunk; -1: the truth
  int64_t claimed_riff = -1;     // in the RIFF head; -1: the truth
  std::string after_data = {};
};
std::string WavFile(absl::string_view data, const WavOptions& options = {});
// Little-endian 16-bit samples.
std::string Pcm16(const std::vector<int>& samples);

// Little-endian number of `bytes` bytes.
std::string Little(int64_t value, int bytes);

// "MEDIA_LIMIT image.width", "OK": reason and field of a typed error, for one EXPECT_EQ.
std::string Verdict(const absl::Status& status);

}  // namespace cleave::media_test
