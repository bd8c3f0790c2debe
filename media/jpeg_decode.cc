#include "media/jpeg_decode.h"

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs it
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

namespace cleave {
namespace {

// One decompression. libjpeg reports through the callbacks below, which find this object in
// client_data; a failure jumps back into Run. Only Run calls libjpeg functions that may fail.
struct JpegReader {
  jpeg_decompress_struct state = {};
  jpeg_error_mgr errors = {};
  jpeg_source_mgr source = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf failed;

  ~JpegReader() { jpeg_destroy_decompress(&state); }
};

[[noreturn]] void Fail(j_common_ptr state) {
  std::longjmp(static_cast<JpegReader*>(state->client_data)->failed, 1);
}

// libjpeg goes on after damage, filling in gray; a picture shown to the model is whole or refused.
// Oddities that lose nothing (stray bytes between segments, unknown versions) pass.
void OnMessage(j_common_ptr state, int level) {
  if (level >= 0) return;  // trace
  switch (state->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
      Fail(state);
    default:
      break;
  }
}

void OnOutputMessage(j_common_ptr /*state*/) {}

void OnProgress(j_common_ptr state) {
  const auto* decompress = reinterpret_cast<j_decompress_ptr>(state);
  if (decompress->input_scan_number > kJpegScansMax) Fail(state);
}

// The whole file lies in the buffer, so being asked for more means that it ended early.
boolean OnFillBuffer(j_decompress_ptr state) { Fail(reinterpret_cast<j_common_ptr>(state)); }

void OnSkip(j_decompress_ptr state, long bytes) {
  if (bytes <= 0) return;
  if (static_cast<size_t>(bytes) > state->src->bytes_in_buffer) {
    Fail(reinterpret_cast<j_common_ptr>(state));
  }
  state->src->next_input_byte += bytes;
  state->src->bytes_in_buffer -= static_cast<size_t>(bytes);
}

void OnSourceEvent(j_decompress_ptr /*state*/) {}

void ConnectCallbacks(absl::string_view file, JpegReader& reader) {
  reader.state.err = jpeg_std_error(&reader.errors);
  reader.state.client_data = &reader;
  reader.errors.error_exit = Fail;
  reader.errors.emit_message = OnMessage;
  reader.errors.output_message = OnOutputMessage;
  reader.progress.progress_monitor = OnProgress;
  reader.source.next_input_byte = reinterpret_cast<const JOCTET*>(file.data());
  reader.source.bytes_in_buffer = file.size();
  reader.source.init_source = OnSourceEvent;
  reader.source.fill_input_buffer = OnFillBuffer;
  reader.source.skip_input_data = OnSkip;
  reader.source.resync_to_restart = jpeg_resync_to_restart;
  reader.source.term_source = OnSourceEvent;
}

// a * b / 255, rounded, for levels: Pillow's.
uint32_t Multiply(uint32_t a, uint32_t b) {
  const uint32_t product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Adobe's inverted CMYK (0 is full ink) to RGB, in place: row [width, 4] becomes [width, 3].
void InksToRgb(uint8_t* row, size_t width) {
  uint8_t* to = row;
  for (const uint8_t* from = row; width > 0; --width, from += 4, to += 3) {
    const uint32_t light = from[3];
    for (size_t channel = 0; channel < 3; ++channel) {
      to[channel] = static_cast<uint8_t>(light - Multiply(255u - from[channel], light));
    }
  }
}

// The only frame that longjmp returns to: nothing with a destructor lives in it.
// row: [stored_width, 4], working memory.
bool Run(JpegReader& reader, uint8_t* row, ImageCanvas& canvas) {
  jpeg_decompress_struct& state = reader.state;
  if (setjmp(reader.failed) != 0) return false;
  jpeg_create_decompress(&state);
  state.src = &reader.source;
  state.progress = &reader.progress;
  jpeg_read_header(&state, TRUE);
  if (static_cast<int64_t>(state.image_width) != canvas.stored_width() ||
      static_cast<int64_t>(state.image_height) != canvas.stored_height() ||
      (state.num_components != 1 && state.num_components != 3 && state.num_components != 4)) {
    return false;
  }
  const bool has_inks = state.num_components == 4;
  state.out_color_space = has_inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&state);
  while (state.output_scanline < state.output_height) {
    const int y = static_cast<int>(state.output_scanline);
    JSAMPROW rows[1] = {row};
    jpeg_read_scanlines(&state, rows, 1);
    if (has_inks) InksToRgb(row, state.output_width);
    canvas.PutRow(y, {row, size_t{3} * state.output_width});
  }
  jpeg_finish_decompress(&state);  // reads up to the end marker, so that one must be there
  return true;
}

}  // namespace

bool DecodeJpeg(absl::string_view file, ImageCanvas& canvas) {
  JpegReader reader;
  ConnectCallbacks(file, reader);
  std::vector<uint8_t> row(size_t{4} * static_cast<size_t>(canvas.stored_width()));
  return Run(reader, row.data(), canvas);
}

}  // namespace cleave
