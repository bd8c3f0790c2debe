#include "media/ogg_pages.h"

#include "media/byte_view.h"
#include "media/file_kind.h"

namespace cleave {
namespace {

constexpr size_t kHeadBytes = 27;  // up to the lengths of segments

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

}  // namespace cleave
