// Any bytes as a PNG, also with right checksums.
#include <cstddef>
#include <cstdint>
#include <string>

#include "media/byte_view.h"
#include "tests/fuzz/media_check.h"

namespace {

uint32_t Checksum(absl::string_view bytes) {
  uint32_t sum = 0xffffffff;
  for (const char byte : bytes) {
    sum ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum;
}

// The same PNG with right checksums, without which libpng reads hardly any changed file.
std::string WithChecksums(std::string file) {
  for (size_t at = 8;;) {
    const uint32_t length = cleave::ByteView{file, cleave::ByteOrder::kBig}.U32(at).value_or(0);
    if (file.size() < at + 12 || file.size() - at - 12 < length) return file;
    const uint32_t sum = Checksum(absl::string_view(file).substr(at + 4, size_t{length} + 4));
    at += size_t{length} + 8;
    for (int shift = 24; shift >= 0; shift -= 8) file[at++] = static_cast<char>(sum >> shift);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string file = cleave::fuzz::WithMagic(
      absl::string_view(reinterpret_cast<const char*>(data), size), 0, "\x89PNG\r\n\x1a\n");
  cleave::fuzz::CheckPicture(file);
  if (file.size() > 8) cleave::fuzz::CheckPicture(WithChecksums(file));
  return 0;
}
