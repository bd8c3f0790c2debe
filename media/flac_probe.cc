// FLAC: RFC 9639.
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "media/audio_formats.h"
#include "media/byte_view.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr size_t kBlockHeadBytes = 4;  // last flag and type, length
constexpr size_t kStreamInfoAt = 8;    // behind the signature and its block's head
constexpr uint32_t kStreamInfoBytes = 34;

absl::Status Damaged() { return AudioUndecodable("a FLAC file that is damaged or cut short"); }

}  // namespace

// The first block is STREAMINFO; the others are passed over up to the first frame of sound.
absl::StatusOr<AudioInfo> ProbeFlac(absl::string_view file, const MediaLimits& limits) {
  const ByteView view{file, ByteOrder::kBig};
  size_t at = kFlacSignature.size();
  for (bool last = false; !last;) {
    const std::optional<uint32_t> head = view.U32(at);
    if (!head) return Damaged();
    const uint32_t length = *head & 0xffffff;
    const uint32_t type = *head >> 24 & 0x7f;
    last = *head >> 31 != 0;
    const bool is_first = at == kFlacSignature.size();
    if (is_first != (type == 0) || (is_first && length != kStreamInfoBytes)) return Damaged();
    if (file.size() - at - kBlockHeadBytes < length) return Damaged();
    at += kBlockHeadBytes + length;
  }
  // 20 bits of rate, 3 of channels less one, 5 of sample bits less one, 36 of length.
  const uint32_t high = view.U32(kStreamInfoAt + 10).value_or(0);
  const uint32_t low = view.U32(kStreamInfoAt + 14).value_or(0);
  const int bits = static_cast<int>(high >> 4 & 0x1f) + 1;
  const int64_t frames = int64_t{high & 0xf} << 32 | low;
  if (bits != 8 && bits != 16 && bits != 24) {
    return AudioUnsupported(absl::StrCat("a FLAC of ", bits, " bits"));
  }
  if (frames == 0) return AudioUnsupported("a FLAC that does not state its length");
  if (view.U16(at).value_or(0) >> 2 != 0x3ffe) return Damaged();
  return Described({.kind = AudioKind::kFlac,
                    .channels = static_cast<int>(high >> 9 & 7) + 1,
                    .sample_rate = static_cast<int>(high >> 12),
                    .frames = frames,
                    .data_offset = static_cast<int64_t>(at),
                    .data_bytes = static_cast<int64_t>(file.size() - at)},
                   limits);
}

}  // namespace cleave
