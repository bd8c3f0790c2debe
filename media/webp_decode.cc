#include "media/webp_decode.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <webp/decode.h>
#include <webp/demux.h>

namespace cleave {
namespace {

constexpr size_t kChannels = 4;

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using UniqueDemuxer = std::unique_ptr<WebPDemuxer, DemuxerDeleter>;

// The first frame and its place; released with the object.
struct FirstFrame {
  explicit FirstFrame(const WebPDemuxer* demuxer)
      : found(WebPDemuxGetFrame(demuxer, 1, &place) != 0) {}
  ~FirstFrame() { WebPDemuxReleaseIterator(&place); }
  FirstFrame(const FirstFrame&) = delete;
  FirstFrame& operator=(const FirstFrame&) = delete;

  WebPIterator place = {};
  const bool found;
};

bool LiesInside(const WebPIterator& frame, const ImageCanvas& canvas) {
  return frame.x_offset >= 0 && frame.y_offset >= 0 && frame.width >= 1 && frame.height >= 1 &&
         frame.width <= canvas.stored_width() - frame.x_offset &&
         frame.height <= canvas.stored_height() - frame.y_offset;
}

// pixels: [frame height, frame width, 4]. A file that says it is opaque is taken at its word, as
// the reference does: then even what a frame leaves free is not white but black.
void PutFrame(const WebPIterator& frame, const std::vector<uint8_t>& pixels, bool opaque,
              ImageCanvas& canvas) {
  const size_t frame_row = static_cast<size_t>(frame.width) * kChannels;
  const size_t left = static_cast<size_t>(frame.x_offset) * kChannels;
  std::vector<uint8_t> row(static_cast<size_t>(canvas.stored_width()) * kChannels);
  for (int y = 0; y < canvas.stored_height(); ++y) {
    std::fill(row.begin(), row.end(), uint8_t{0});
    const int frame_y = y - frame.y_offset;
    if (frame_y >= 0 && frame_y < frame.height) {
      const auto from = pixels.begin() + static_cast<std::ptrdiff_t>(frame_y) *
                                             static_cast<std::ptrdiff_t>(frame_row);
      std::copy_n(from, frame_row, row.begin() + static_cast<std::ptrdiff_t>(left));
    }
    if (opaque) {
      for (size_t i = kChannels - 1; i < row.size(); i += kChannels) row[i] = 0xff;
    }
    canvas.PutRgbaRow(y, absl::MakeSpan(row));
  }
}

}  // namespace

bool DecodeWebp(absl::string_view file, ImageCanvas& canvas) {
  const WebPData data = {reinterpret_cast<const uint8_t*>(file.data()), file.size()};
  const UniqueDemuxer demuxer(WebPDemux(&data));  // null when the file is not whole
  if (demuxer == nullptr) return false;
  if (static_cast<int64_t>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH)) !=
          canvas.stored_width() ||
      static_cast<int64_t>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT)) !=
          canvas.stored_height()) {
    return false;
  }
  const FirstFrame first(demuxer.get());
  const WebPIterator& frame = first.place;
  if (!first.found || frame.complete == 0 || !LiesInside(frame, canvas)) return false;
  const size_t row_bytes = static_cast<size_t>(frame.width) * kChannels;
  std::vector<uint8_t> pixels(row_bytes * static_cast<size_t>(frame.height));
  if (WebPDecodeRGBAInto(frame.fragment.bytes, frame.fragment.size, pixels.data(), pixels.size(),
                         static_cast<int>(row_bytes)) == nullptr) {
    return false;
  }
  const uint32_t flags = WebPDemuxGetI(demuxer.get(), WEBP_FF_FORMAT_FLAGS);
  PutFrame(frame, pixels, (flags & ALPHA_FLAG) == 0, canvas);
  return true;
}

}  // namespace cleave
