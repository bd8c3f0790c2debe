// GIF: the specification of version 89a.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "media/byte_view.h"
#include "media/image_formats.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr size_t kScreenBytes = 13;  // signature, two sides, flags, background, aspect ratio
constexpr size_t kFrameBytes = 10;   // its mark, two offsets, two sides, flags
constexpr char kExtension = '!', kFrame = ',';

// Bytes of the color table that `flags` announce.
size_t TableBytes(char flags) { return (flags & 0x80) == 0 ? 0 : size_t{6} << (flags & 7); }

// The place behind the sub-blocks that begin at `at`; absent when the file ends in them.
std::optional<size_t> BehindBlocks(absl::string_view file, size_t at) {
  while (at < file.size()) {
    const size_t length = static_cast<uint8_t>(file[at]);
    at += 1 + length;
    if (length == 0) return at;
  }
  return std::nullopt;
}

absl::Status CutShort() { return ImageUndecodable("a GIF file that is damaged or cut short"); }

}  // namespace

// Walks the blocks up to the first frame. A frame that reaches beyond the screen widens it, as it
// does for the reference.
absl::StatusOr<ImageInfo> ProbeGif(absl::string_view file, const MediaLimits& limits) {
  if (file.size() < kScreenBytes) return CutShort();
  const ByteView view{file, ByteOrder::kLittle};
  std::optional<size_t> at = kScreenBytes + TableBytes(file[10]);
  while (at && *at + 1 < file.size() && file[*at] == kExtension) at = BehindBlocks(file, *at + 2);
  if (!at || *at > file.size() || file.size() - *at < kFrameBytes || file[*at] != kFrame) {
    return CutShort();
  }
  const int frame_width = view.U16(*at + 5).value_or(0);
  const int frame_height = view.U16(*at + 7).value_or(0);
  if (frame_width == 0 || frame_height == 0) return ImageUndecodable("a picture without pixels");
  ImageInfo info;
  info.kind = ImageKind::kGif;
  info.stored_width =
      std::max<int>(view.U16(6).value_or(0), view.U16(*at + 1).value_or(0) + frame_width);
  info.stored_height =
      std::max<int>(view.U16(8).value_or(0), view.U16(*at + 3).value_or(0) + frame_height);
  return Oriented(info, 1, limits);
}

}  // namespace cleave
