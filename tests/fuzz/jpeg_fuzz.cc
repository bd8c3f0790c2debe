// Any bytes as a JPEG.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/media_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  cleave::fuzz::CheckPicture(cleave::fuzz::WithMagic(file, 0, "\xff\xd8"));
  return 0;
}
