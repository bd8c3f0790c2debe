// Any bytes as an Ogg file, also with right checksums, without which libogg passes over every
// changed page.
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/fuzz/media_check.h"
#include "tests/media/sound_files.h"

namespace {

std::string WithChecksums(absl::string_view file) {
  std::string fixed = cleave::media_test::JoinOggPages(cleave::media_test::OggPages(file));
  const absl::string_view rest = file.substr(fixed.size());
  fixed.append(rest.data(), rest.size());
  return fixed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  cleave::fuzz::CheckSound(cleave::fuzz::WithMagic(file, 0, "OggS"));
  cleave::fuzz::CheckSound(WithChecksums(file));
  return 0;
}
