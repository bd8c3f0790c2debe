// Any bytes as a WebP, also with a right size in its first line.
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/fuzz/media_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  const std::string webp =
      cleave::fuzz::WithMagic(cleave::fuzz::WithMagic(file, 0, "RIFF"), 8, "WEBP");
  cleave::fuzz::CheckPicture(webp);
  std::string size_bytes;
  for (int shift = 0; shift < 32; shift += 8) {
    size_bytes.push_back(static_cast<char>((size - 8) >> shift));
  }
  if (size >= 12) cleave::fuzz::CheckPicture(cleave::fuzz::WithMagic(webp, 4, size_bytes));
  return 0;
}
