#include "media/png_decode.h"

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <png.h>

#include "media/image_probe.h"

namespace cleave {
namespace {

constexpr size_t kChannels = 4;  // rows come from libpng as RGBA
constexpr png_alloc_size_t kChunkBytesMax = png_alloc_size_t{1} << 20;

// One reading. libpng reports through the callbacks below, which find this object; a failure jumps
// back into Run. Only Run calls libpng functions that may fail.
struct PngReader {
  png_structp state = nullptr;
  png_infop info = nullptr;
  absl::string_view rest;  // bytes not read yet
  std::jmp_buf failed;

  ~PngReader() { png_destroy_read_struct(&state, &info, nullptr); }
};

[[noreturn]] void OnError(png_structp state, png_const_charp /*message*/) {
  std::longjmp(static_cast<PngReader*>(png_get_error_ptr(state))->failed, 1);
}

void OnWarning(png_structp /*state*/, png_const_charp /*message*/) {}

void OnRead(png_structp state, png_bytep out, size_t bytes) {
  PngReader& reader = *static_cast<PngReader*>(png_get_io_ptr(state));
  if (bytes > reader.rest.size()) OnError(state, "");
  std::memcpy(out, reader.rest.data(), bytes);
  reader.rest.remove_prefix(bytes);
}

// Asks for RGBA of 8 bits, whatever the file holds. Of 16 bits the upper ones are kept, as Pillow
// keeps them wherever it reads 16 bits as a level (16-bit gray alone it clips at 255).
void RequestRgba(png_structp state) {
  png_set_strip_16(state);
  png_set_palette_to_rgb(state);
  png_set_expand_gray_1_2_4_to_8(state);
  png_set_tRNS_to_alpha(state);
  png_set_gray_to_rgb(state);
  png_set_add_alpha(state, 0xff, PNG_FILLER_AFTER);
}

// The only frame that longjmp returns to: nothing with a destructor lives in it.
// rows: working memory, [stored_height, stored_width, 4] for an interlaced file, else one row.
bool Run(PngReader& reader, bool interlaced, uint8_t* rows, ImageCanvas& canvas) {
  const auto width = static_cast<size_t>(canvas.stored_width());
  const auto height = static_cast<size_t>(canvas.stored_height());
  png_structp state = reader.state;
  if (setjmp(reader.failed) != 0) return false;
  png_set_read_fn(state, &reader, OnRead);
  png_set_user_limits(state, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height));
  png_set_chunk_malloc_max(state, kChunkBytesMax);
  // Every chunk that does not change the pixels is passed over unread.
  png_set_keep_unknown_chunks(state, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(state, reader.info);
  if (png_get_image_width(state, reader.info) != width ||
      png_get_image_height(state, reader.info) != height) {
    return false;
  }
  RequestRgba(state);
  const int passes = png_set_interlace_handling(state);
  png_read_update_info(state, reader.info);
  if (png_get_rowbytes(state, reader.info) != width * kChannels) return false;
  if ((passes > 1) != interlaced) return false;
  for (int pass = 0; pass < passes; ++pass) {
    const bool complete = pass == passes - 1;
    for (size_t y = 0; y < height; ++y) {
      uint8_t* row = interlaced ? rows + y * width * kChannels : rows;
      png_read_row(state, row, nullptr);
      if (!complete) continue;
      canvas.PutRgbaRow(static_cast<int>(y), {row, width * kChannels});
    }
  }
  png_read_end(state, nullptr);
  return true;
}

// The last byte of IHDR, which ProbeImage found to be the first chunk.
bool IsInterlaced(absl::string_view file) {
  constexpr size_t kInterlaceAt = 8 + 8 + 12;
  return file.size() > kInterlaceAt && file[kInterlaceAt] != 0;
}

}  // namespace

bool DecodePng(absl::string_view file, ImageCanvas& canvas) {
  PngReader reader;
  reader.rest = file;
  reader.state = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, OnError, OnWarning);
  if (reader.state == nullptr) return false;
  reader.info = png_create_info_struct(reader.state);
  if (reader.info == nullptr) return false;
  const bool interlaced = IsInterlaced(file);
  std::vector<uint8_t> rows(kChannels * static_cast<size_t>(canvas.stored_width()) *
                            static_cast<size_t>(interlaced ? canvas.stored_height() : 1));
  return Run(reader, interlaced, rows.data(), canvas);
}

}  // namespace cleave
