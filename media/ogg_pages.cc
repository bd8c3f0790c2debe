#include "media/ogg_pages.h"

#include "media/byte_view.h"
#include "media/file_kind.h"

namespace cleave {
namespace {

constexpr size_t kHeadBytes = 27;  // up to the lengths of segments
constexpr size_t kChecksumAt = 22;

uint32_t Checksum(absl::string_view bytes) {
  uint32_t sum = 0;
  for (const char byte : bytes) {
    sum ^= uint32_t{static_cast<uint8_t>(byte)} << 24;
    for (int bit = 0; bit < 8; ++bit) sum = sum << 1 ^ (sum >> 31 != 0 ? 0x04c11db7 : 0);
  }
  return sum;
}

}  // namespace

std::optional<OggPage> ReadOggPage(absl::string_view file, size_t at) {
  if (at > file.size() || file.size() - at < kHeadBytes) return std::nullopt;
  const absl::string_view rest = file.substr(at);
  if (!HasMagic(rest, 0, Magic("OggS\0"))) return std::nullopt;
  const ByteView view{rest, ByteOrder::kLittle};
  const size_t segments = static_cast<uint8_t>(rest[kHeadBytes - 1]);
  const absl::string_view lengths = rest.substr(kHeadBytes, segments);
  size_t body_bytes = 0;
  for (const char length : lengths) body_bytes += static_cast<uint8_t>(length);
  const size_t bytes = kHeadBytes + segments + body_bytes;
  if (lengths.size() < segments || rest.size() < bytes) return std::nullopt;
  const uint64_t position = uint64_t{view.U32(10).value_or(0)} << 32 | view.U32(6).value_or(0);
  return OggPage{.continues = (rest[5] & 1) != 0,
                 .begins_stream = (rest[5] & 2) != 0,
                 .position = static_cast<int64_t>(position),
                 .stream = view.U32(14).value_or(0),
                 .number = view.U32(18).value_or(0),
                 .lengths = lengths,
                 .body = rest.substr(kHeadBytes + segments, body_bytes),
                 .bytes = bytes};
}

std::string PatchedOggPage(absl::string_view page, size_t at, absl::string_view bytes) {
  std::string patched(page);
  const size_t body_at = kHeadBytes + static_cast<uint8_t>(page[kHeadBytes - 1]);
  patched.replace(body_at + at, bytes.size(), bytes.data(), bytes.size());
  patched.replace(kChecksumAt, 4, 4, '\0');
  const uint32_t sum = Checksum(patched);
  for (size_t i = 0; i < 4; ++i) patched[kChecksumAt + i] = static_cast<char>(sum >> 8 * i);
  return patched;
}

}  // namespace cleave
