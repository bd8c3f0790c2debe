#include "media/exif_orientation.h"

#include <cstddef>
#include <cstdint>
#include <optional>

#include "media/byte_view.h"

namespace cleave {
namespace {

constexpr uint16_t kTiffMagic = 42;
constexpr uint16_t kOrientationTag = 0x0112;
constexpr uint16_t kTypeShort = 3;
constexpr uint16_t kTypeLong = 4;
constexpr size_t kEntryBytes = 12;  // tag, type, count, value
constexpr int kUpright = 1;

std::optional<uint32_t> OrientationValue(const ByteView& tiff, size_t entry) {
  const std::optional<uint16_t> type = tiff.U16(entry + 2);
  if (type == kTypeShort) return tiff.U16(entry + 8);
  if (type == kTypeLong) return tiff.U32(entry + 8);
  return std::nullopt;
}

}  // namespace

int ReadExifOrientation(absl::string_view tiff) {
  const absl::string_view order = tiff.substr(0, 2);
  if (order != "II" && order != "MM") return kUpright;
  const ByteView view{tiff, order == "II" ? ByteOrder::kLittle : ByteOrder::kBig};
  if (view.U16(2) != kTiffMagic) return kUpright;
  const std::optional<uint32_t> directory = view.U32(4);
  if (!directory) return kUpright;
  const size_t entries = view.U16(*directory).value_or(0);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = size_t{*directory} + 2 + i * kEntryBytes;
    const std::optional<uint16_t> tag = view.U16(entry);
    if (!tag) return kUpright;
    if (*tag != kOrientationTag) continue;
    const uint32_t value = OrientationValue(view, entry).value_or(kUpright);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : kUpright;
  }
  return kUpright;
}

}  // namespace cleave
