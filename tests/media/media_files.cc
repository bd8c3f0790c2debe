#include "tests/media/media_files.h"

#include <cstdio>  // jpeglib.h needs it
#include <cstdlib>
#include <cstring>

#include <jpeglib.h>
#include <png.h>

#include "absl/strings/str_cat.h"

namespace cleave::media_test {
namespace {

std::string Big(uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

void AppendToString(png_structp state, png_bytep bytes, size_t count) {
  static_cast<std::string*>(png_get_io_ptr(state))
      ->append(reinterpret_cast<const char*>(bytes), count);
}

void FlushNothing(png_structp /*state*/) {}

}  // namespace

RgbImage Gradient(int width, int height) {
  RgbImage image{.height = height, .width = width, .pixels = {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.pixels.push_back(static_cast<uint8_t>(255 * x / width));
      image.pixels.push_back(static_cast<uint8_t>(255 * y / height));
      image.pixels.push_back(static_cast<uint8_t>(127 * (x + y) / (width + height)));
    }
  }
  return image;
}

std::string ExifData(int orientation, bool big_endian) {
  const auto number = [&](int value, int bytes) {
    return big_endian ? Big(static_cast<uint64_t>(value), bytes) : Little(value, bytes);
  };
  return absl::StrCat(big_endian ? "MM" : "II", number(42, 2), number(8, 4), number(1, 2),
                      number(0x0112, 2), number(3, 2), number(1, 4), number(orientation, 2),
                      number(0, 2), number(0, 4));
}

std::string JpegFile(const RgbImage& image, const JpegOptions& options) {
  jpeg_compress_struct state = {};
  jpeg_error_mgr errors = {};
  state.err = jpeg_std_error(&errors);
  jpeg_create_compress(&state);
  unsigned char* out = nullptr;
  unsigned long out_bytes = 0;
  jpeg_mem_dest(&state, &out, &out_bytes);
  state.image_width = static_cast<JDIMENSION>(image.width);
  state.image_height = static_cast<JDIMENSION>(image.height);
  state.input_components = options.gray ? 1 : options.cmyk ? 4 : 3;
  state.in_color_space = options.gray ? JCS_GRAYSCALE : options.cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&state);
  jpeg_set_quality(&state, options.quality, TRUE);
  if (options.progressive) jpeg_simple_progression(&state);
  std::vector<jpeg_scan_info> scans;
  if (options.scan_for_each) {
    jpeg_scan_info first = {};
    first.comps_in_scan = state.num_components;
    for (int i = 0; i < state.num_components; ++i) first.component_index[i] = i;
    scans.push_back(first);
    for (int component = 0; component < state.num_components; ++component) {
      for (int coefficient = 1; coefficient < 64; ++coefficient) {
        jpeg_scan_info scan = {};
        scan.comps_in_scan = 1;
        scan.component_index[0] = component;
        scan.Ss = scan.Se = coefficient;
        scans.push_back(scan);
      }
    }
    state.scan_info = scans.data();
    state.num_scans = static_cast<int>(scans.size());
  }
  jpeg_start_compress(&state, TRUE);
  if (options.orientation != 0) {
    const std::string exif =
        absl::StrCat(absl::string_view("Exif\0\0", 6), ExifData(options.orientation));
    jpeg_write_marker(&state, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  }
  const auto channels = static_cast<size_t>(state.input_components);
  std::vector<uint8_t> row(static_cast<size_t>(image.width) * channels);
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    for (size_t i = 0; i < row.size(); ++i) {
      const size_t x = i / channels;
      row[i] =
          image
              .pixels[3 * (y * static_cast<size_t>(image.width) + x) + (channels == 3 ? i % 3 : 0)];
    }
    JSAMPROW rows[1] = {row.data()};
    jpeg_write_scanlines(&state, rows, 1);
  }
  jpeg_finish_compress(&state);
  std::string file(reinterpret_cast<const char*>(out), out_bytes);
  jpeg_destroy_compress(&state);
  std::free(out);
  return file;
}

std::string PngFile(int width, int height, const std::vector<uint8_t>& samples,
                    const PngOptions& options) {
  std::string file;
  png_structp state = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(state);
  png_set_write_fn(state, &file, AppendToString, FlushNothing);
  png_set_check_for_invalid_index(state, 0);  // tests write such files on purpose
  png_set_IHDR(state, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height),
               options.bit_depth, options.color_type,
               options.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!options.palette.empty()) {
    png_set_PLTE(state, info, reinterpret_cast<png_const_colorp>(options.palette.data()),
                 static_cast<int>(options.palette.size() / 3));
  }
  if (!options.palette_alpha.empty()) {
    png_set_tRNS(state, info, options.palette_alpha.data(),
                 static_cast<int>(options.palette_alpha.size()), nullptr);
  }
  if (options.transparent_gray >= 0) {
    png_color_16 key = {};
    key.gray = static_cast<png_uint_16>(options.transparent_gray);
    png_set_tRNS(state, info, nullptr, 0, &key);
  }
  std::string exif = options.orientation == 0 ? "" : ExifData(options.orientation);
  if (!exif.empty()) {
    png_set_eXIf_1(state, info, static_cast<png_uint_32>(exif.size()),
                   reinterpret_cast<png_bytep>(exif.data()));
  }
  png_write_info(state, info);
  png_set_packing(state);  // one byte a sample, also below 8 bits
  const size_t row_bytes = samples.size() / static_cast<size_t>(height);
  std::vector<png_bytep> rows;
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    rows.push_back(const_cast<png_bytep>(samples.data() + y * row_bytes));
  }
  png_write_image(state, rows.data());
  png_write_end(state, info);
  png_destroy_write_struct(&state, &info);
  return file;
}

std::string PngFile(const RgbImage& image, const PngOptions& options) {
  return PngFile(image.width, image.height, image.pixels, options);
}

std::string PngChunk(absl::string_view type, absl::string_view data) {
  return absl::StrCat(Big(data.size(), 4), type, data, Big(0, 4));
}

std::string PngHeader(uint32_t width, uint32_t height, int bit_depth, int color_type) {
  return absl::StrCat(
      "\x89PNG\r\n\x1a\n",
      PngChunk("IHDR",
               absl::StrCat(Big(width, 4), Big(height, 4), Big(static_cast<uint64_t>(bit_depth), 1),
                            Big(static_cast<uint64_t>(color_type), 1), Big(0, 3))));
}

std::string Little(int64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string WavFile(absl::string_view data, const WavOptions& options) {
  const int container = options.container_bits != 0 ? options.container_bits : options.bits;
  const int frame_bytes = options.channels * container / 8;
  std::string format = absl::StrCat(
      Little(options.extensible ? 0xfffe : options.tag, 2), Little(options.channels, 2),
      Little(options.sample_rate, 4), Little(options.sample_rate * frame_bytes, 4),
      Little(frame_bytes, 2), Little(options.extensible ? container : options.bits, 2));
  if (options.extensible) {
    const absl::string_view tail("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71", 14);
    absl::StrAppend(&format, Little(22, 2), Little(options.bits, 2), Little(0, 4),
                    Little(options.tag, 2), tail);
  }
  const int64_t claimed =
      options.claimed_bytes >= 0 ? options.claimed_bytes : static_cast<int64_t>(data.size());
  const std::string body =
      absl::StrCat("WAVEfmt ", Little(static_cast<int64_t>(format.size()), 4), format,
                   options.before_data, "data", Little(claimed, 4), data, options.after_data);
  const int64_t riff =
      options.claimed_riff >= 0 ? options.claimed_riff : static_cast<int64_t>(body.size());
  return absl::StrCat("RIFF", Little(riff, 4), body);
}

std::string Pcm16(const std::vector<int>& samples) {
  std::string data;
  for (const int sample : samples) data += Little(sample, 2);
  return data;
}

std::string Verdict(const absl::Status& status) {
  if (status.ok()) return "OK";
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (!detail) return absl::StrCat("untyped: ", status.message());
  if (status.code() != absl::StatusCode::kInvalidArgument) return "another code";
  return absl::StrCat(ReasonName(detail->reason), " ", detail->field);
}

}  // namespace cleave::media_test
