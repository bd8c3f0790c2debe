// Any bytes as an Ogg file, also with right checksums, without which libogg passes over every
// changed page.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "media/ogg_pages.h"
#include "tests/fuzz/media_check.h"

namespace {

std::string WithChecksums(absl::string_view file) {
  std::string fixed;
  while (const std::optional<cleave::OggPage> page = cleave::ReadOggPage(file, fixed.size())) {
    fixed += cleave::PatchedOggPage(file.substr(fixed.size(), page->bytes), 0, "");
  }
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
