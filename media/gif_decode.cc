#include "media/gif_decode.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include <gif_lib.h>

namespace cleave {
namespace {

constexpr size_t kChannels = 4;

struct GifDeleter {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};
using UniqueGif = std::unique_ptr<GifFileType, GifDeleter>;

// `gif->UserData` is the rest of the file.
int OnRead(GifFileType* gif, GifByteType* out, int bytes) {
  absl::string_view& rest = *static_cast<absl::string_view*>(gif->UserData);
  const size_t count = std::min(rest.size(), static_cast<size_t>(std::max(bytes, 0)));
  std::memcpy(out, rest.data(), count);
  rest.remove_prefix(count);
  return static_cast<int>(count);
}

// Reads blocks up to the first frame's pixels; `*transparent` becomes the index of the color that
// the graphics control before it names.
bool FindFrame(GifFileType* gif, std::optional<uint8_t>* transparent) {
  while (true) {
    GifRecordType record = UNDEFINED_RECORD_TYPE;
    if (DGifGetRecordType(gif, &record) != GIF_OK) return false;
    if (record == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(gif) == GIF_OK;
    if (record != EXTENSION_RECORD_TYPE) return false;
    int code = 0;
    GifByteType* block = nullptr;  // its first byte is the number of those behind it
    if (DGifGetExtension(gif, &code, &block) != GIF_OK) return false;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 &&
        (block[1] & 1) != 0) {
      *transparent = block[4];
    }
    while (block != nullptr) {
      if (DGifGetExtensionNext(gif, &block) != GIF_OK) return false;
    }
  }
}

using Color = std::array<uint8_t, kChannels>;

// The color of every index: gray levels without a table, black beyond its end.
std::array<Color, 256> Colors(const GifFileType& gif, std::optional<uint8_t> transparent) {
  const ColorMapObject* map = gif.Image.ColorMap != nullptr ? gif.Image.ColorMap : gif.SColorMap;
  std::array<Color, 256> colors;
  for (size_t i = 0; i < colors.size(); ++i) {
    const auto level = static_cast<uint8_t>(map == nullptr ? i : 0);
    colors[i] = {level, level, level, 0xff};
    if (map != nullptr && i < static_cast<size_t>(map->ColorCount)) {
      const GifColorType& color = map->Colors[i];
      colors[i] = {color.Red, color.Green, color.Blue, 0xff};
    }
  }
  if (transparent) colors[*transparent][3] = 0;
  return colors;
}

// The rows of a frame in the order of the file: an interlaced one comes in four passes.
std::vector<int> RowOrder(int height, bool interlaced) {
  struct Pass {
    int first, step;
  };
  constexpr Pass kInterlaced[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
  constexpr Pass kPlain[] = {{0, 1}};
  std::vector<int> order;
  order.reserve(static_cast<size_t>(height));
  for (const auto [first, step] :
       interlaced ? absl::MakeConstSpan(kInterlaced) : absl::MakeConstSpan(kPlain)) {
    for (int y = first; y < height; y += step) order.push_back(y);
  }
  return order;
}

// A row of the canvas as colors, [stored_width, 4].
class RowPainter {
 public:
  RowPainter(const std::array<Color, 256>& colors, uint8_t ground, ImageCanvas& canvas)
      : colors_(colors),
        ground_(ground),
        canvas_(canvas),
        row_(static_cast<size_t>(canvas.stored_width()) * kChannels) {}

  // `indices` stand at column `left`; around them is the ground.
  void Paint(int y, int left, absl::Span<const uint8_t> indices) {
    Fill(0, static_cast<size_t>(left));
    uint8_t* to = row_.data() + static_cast<size_t>(left) * kChannels;
    for (const uint8_t index : indices) to = std::copy_n(colors_[index].data(), kChannels, to);
    Fill(static_cast<size_t>(left) + indices.size(), row_.size() / kChannels);
    canvas_.PutRgbaRow(y, absl::MakeSpan(row_));
  }

 private:
  void Fill(size_t begin, size_t end) {
    uint8_t* to = row_.data() + begin * kChannels;
    for (size_t x = begin; x < end; ++x) to = std::copy_n(colors_[ground_].data(), kChannels, to);
  }

  const std::array<Color, 256>& colors_;
  const uint8_t ground_;
  ImageCanvas& canvas_;
  std::vector<uint8_t> row_;
};

bool LiesInside(const GifImageDesc& frame, const ImageCanvas& canvas) {
  return frame.Left >= 0 && frame.Top >= 0 && frame.Width >= 1 && frame.Height >= 1 &&
         frame.Width <= canvas.stored_width() - frame.Left &&
         frame.Height <= canvas.stored_height() - frame.Top;
}

}  // namespace

bool DecodeGif(absl::string_view file, ImageCanvas& canvas) {
  absl::string_view rest = file;
  const UniqueGif gif(DGifOpen(&rest, OnRead, nullptr));
  std::optional<uint8_t> transparent;
  if (gif == nullptr || !FindFrame(gif.get(), &transparent)) return false;
  const GifImageDesc& frame = gif->Image;
  if (!LiesInside(frame, canvas)) return false;
  const std::array<Color, 256> colors = Colors(*gif, transparent);
  RowPainter painter(colors, transparent.value_or(0), canvas);
  for (int y = 0; y < canvas.stored_height(); ++y) {
    if (y < frame.Top || y >= frame.Top + frame.Height) painter.Paint(y, 0, {});
  }
  std::vector<uint8_t> indices(static_cast<size_t>(frame.Width));
  for (const int y : RowOrder(frame.Height, frame.Interlace)) {
    if (DGifGetLine(gif.get(), indices.data(), frame.Width) != GIF_OK) return false;
    painter.Paint(frame.Top + y, frame.Left, indices);
  }
  return true;
}

}  // namespace cleave
