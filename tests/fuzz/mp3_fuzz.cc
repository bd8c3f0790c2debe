// Any bytes as a sound, which may be an MP3: it has no signature.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/media_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  cleave::fuzz::CheckSound(file);
  return 0;
}
