// Any bytes as a picture: probe, then decode and scale under small limits. What the gateway counts
// from the headers must be what the decoder gives.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "media/byte_view.h"
#include "media/image_decode.h"
#include "media/image_probe.h"
#include "media/image_resize.h"
#include "media/image_size.h"
#include "media/image_tiles.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace {

constexpr cleave::MediaLimits kLimits = {.image_bytes_max = int64_t{1} << 16,
                                         .image_side_max = 512,
                                         .image_pixels_max = int64_t{1} << 14};

void CheckScaled(const cleave::RgbImage& image) {
  constexpr int kTiles = 4;  // a small budget, so that most of the time goes into decoding
  const cleave::ImageGrid grid;
  const absl::StatusOr<cleave::TargetImageSize> target = cleave::FitToPatches(
      image.height, image.width, int64_t{kTiles} * grid.pool * grid.pool, grid);
  CHECK(target.ok() && target->tokens >= 1 && target->tokens <= kTiles);
  const cleave::ImageTiles tiles =
      cleave::CutTiles(cleave::ResizeBicubic(image, target->height, target->width));
  CHECK(tiles.rows == target->rows && tiles.columns == target->columns);
  CHECK(tiles.tiles.size() == static_cast<size_t>(target->tokens) * cleave::kTileBytes);
}

void CheckFile(absl::string_view file) {
  const absl::StatusOr<cleave::ImageInfo> info = cleave::ProbeImage(file, kLimits);
  const absl::StatusOr<cleave::RgbImage> image = cleave::DecodeImage(file, kLimits);
  if (!info.ok()) {
    CHECK(cleave::GetReason(info.status()) != cleave::Reason::kUnspecified);
    CHECK(image.status() == info.status());
    return;
  }
  if (!image.ok()) {
    CHECK(cleave::GetReason(image.status()) == cleave::Reason::kMediaUndecodable);
    return;
  }
  CHECK(image->width == info->width && image->height == info->height);
  CHECK(image->pixels.size() ==
        size_t{3} * static_cast<size_t>(info->width) * static_cast<size_t>(info->height));
  CheckScaled(*image);
}

uint32_t Checksum(absl::string_view bytes) {
  uint32_t sum = 0xffffffff;
  for (const char byte : bytes) {
    sum ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum;
}

// The same PNG with right checksums, without which libpng reads hardly any changed file.
std::string WithChecksums(std::string file) {
  for (size_t at = 8;;) {
    const uint32_t length = cleave::ByteView{file, cleave::ByteOrder::kBig}.U32(at).value_or(0);
    if (file.size() < at + 12 || file.size() - at - 12 < length) return file;
    const uint32_t sum = Checksum(absl::string_view(file).substr(at + 4, size_t{length} + 4));
    at += size_t{length} + 8;
    for (int shift = 24; shift >= 0; shift -= 8) file[at++] = static_cast<char>(sum >> shift);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  CheckFile(file);
  if (absl::StartsWith(file, "\x89PNG\r\n\x1a\n")) CheckFile(WithChecksums(std::string(file)));
  return 0;
}
