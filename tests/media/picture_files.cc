#include "tests/media/picture_files.h"

#include <webp/encode.h>

#include "absl/strings/str_cat.h"
#include "tests/media/media_files.h"

namespace cleave::media_test {
namespace {

std::string Riff(absl::string_view chunks) {
  return absl::StrCat("RIFF", Little(static_cast<int64_t>(chunks.size()) + 4, 4), "WEBP", chunks);
}

std::string RiffChunk(absl::string_view name, absl::string_view data) {
  return absl::StrCat(name, Little(static_cast<int64_t>(data.size()), 4), data,
                      std::string(data.size() & 1, '\0'));
}

std::string ExtendedHead(int flags, int width, int height) {
  return RiffChunk("VP8X",
                   absl::StrCat(Little(flags, 4), Little(width - 1, 3), Little(height - 1, 3)));
}

constexpr size_t kRiffHeadBytes = 12;
constexpr int kAnimationFlag = 0x02, kExifFlag = 0x08, kAlphaFlag = 0x10;

// LZW that never uses what it learns: a clear code before the table is full keeps every code
// equally long.
std::string Compress(const std::vector<uint8_t>& indices) {
  constexpr int kIndexBits = 7;
  constexpr uint32_t kClear = 1u << kIndexBits, kEnd = kClear + 1;
  constexpr size_t kIndicesPerClear = 100;
  std::string bytes;
  uint32_t pending = 0;
  int bits = 0;
  const auto put = [&](uint32_t code) {
    pending |= code << bits;
    for (bits += kIndexBits + 1; bits >= 8; bits -= 8, pending >>= 8) {
      bytes.push_back(static_cast<char>(pending));
    }
  };
  for (size_t i = 0; i < indices.size(); ++i) {
    if (i % kIndicesPerClear == 0) put(kClear);
    put(indices[i]);
  }
  put(kEnd);
  std::string blocks(1, static_cast<char>(kIndexBits));
  for (size_t at = 0; at < bytes.size(); at += 255) {
    const std::string block = bytes.substr(at, 255);
    absl::StrAppend(&blocks, Little(static_cast<int64_t>(block.size()), 1), block);
  }
  return absl::StrCat(blocks, Little(0, 1));
}

// The flags of a color table; `palette` has 3 << n bytes.
int TableFlags(const std::vector<uint8_t>& palette) {
  if (palette.empty()) return 0;
  int log = 0;
  while ((size_t{6} << log) < palette.size()) ++log;
  return 0x80 | log;
}

std::string Table(const std::vector<uint8_t>& palette) { return {palette.begin(), palette.end()}; }

}  // namespace

std::string WebpFile(int width, int height, const std::vector<uint8_t>& pixels, bool lossless) {
  WebPConfig config;
  WebPPicture picture;
  if (!WebPConfigInit(&config) || !WebPPictureInit(&picture)) return "";
  config.lossless = lossless ? 1 : 0;
  config.exact = 1;  // also what is transparent keeps its color
  config.quality = 90;
  picture.use_argb = 1;
  picture.width = width;
  picture.height = height;
  WebPMemoryWriter writer;
  WebPMemoryWriterInit(&writer);
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &writer;
  std::string file;
  if (WebPPictureImportRGBA(&picture, pixels.data(), 4 * width) && WebPEncode(&config, &picture)) {
    file.assign(reinterpret_cast<const char*>(writer.mem), writer.size);
  }
  WebPPictureFree(&picture);
  WebPMemoryWriterClear(&writer);
  return file;
}

std::string WebpFile(const RgbImage& image, bool lossless) {
  std::vector<uint8_t> pixels;
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    pixels.insert(pixels.end(),
                  {image.pixels[i], image.pixels[i + 1], image.pixels[i + 2], uint8_t{255}});
  }
  return WebpFile(image.width, image.height, pixels, lossless);
}

std::string ExtendedWebp(absl::string_view simple, int width, int height, int orientation) {
  return Riff(absl::StrCat(ExtendedHead(kExifFlag, width, height), simple.substr(kRiffHeadBytes),
                           RiffChunk("EXIF", ExifData(orientation))));
}

std::string AnimatedWebp(int width, int height, const std::vector<WebpFrame>& frames,
                         bool has_alpha) {
  std::string chunks =
      absl::StrCat(ExtendedHead(kAnimationFlag | (has_alpha ? kAlphaFlag : 0), width, height),
                   RiffChunk("ANIM", std::string(6, '\0')));
  for (const WebpFrame& frame : frames) {
    absl::StrAppend(
        &chunks, RiffChunk("ANMF", absl::StrCat(Little(frame.left / 2, 3), Little(frame.top / 2, 3),
                                                Little(frame.width - 1, 3),
                                                Little(frame.height - 1, 3), Little(100, 3),
                                                Little(0, 1), frame.file.substr(kRiffHeadBytes))));
  }
  return Riff(chunks);
}

std::string GifFile(int width, int height, const std::vector<uint8_t>& indices,
                    const GifOptions& options) {
  const auto or_frame = [](int screen, int frame) { return screen < 0 ? frame : screen; };
  std::string control;
  if (options.transparent >= 0) {
    control =
        absl::StrCat("!\xf9\x04\x01", Little(0, 2), Little(options.transparent, 1), Little(0, 1));
  }
  std::vector<uint8_t> stored = indices;
  if (options.interlaced) {
    stored.clear();
    const int passes[][2] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
    for (const auto& [first, step] : passes) {
      for (int y = first; y < height; y += step) {
        stored.insert(stored.end(), indices.begin() + y * width, indices.begin() + (y + 1) * width);
      }
    }
  }
  return absl::StrCat(
      "GIF89a", Little(or_frame(options.screen_width, width), 2),
      Little(or_frame(options.screen_height, height), 2), Little(TableFlags(options.palette), 1),
      Little(0, 2), Table(options.palette), options.before_frame, control, ",",
      Little(options.left, 2), Little(options.top, 2), Little(width, 2), Little(height, 2),
      Little(TableFlags(options.local_palette) | (options.interlaced ? 0x40 : 0), 1),
      Table(options.local_palette), Compress(stored), options.after_frame);
}

}  // namespace cleave::media_test
