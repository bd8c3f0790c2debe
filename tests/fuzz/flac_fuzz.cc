// Any bytes as a FLAC.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/media_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  cleave::fuzz::CheckSound(cleave::fuzz::WithMagic(file, 0, "fLaC"));
  return 0;
}
