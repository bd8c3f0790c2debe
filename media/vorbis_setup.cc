#include "media/vorbis_setup.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <optional>

#include "media/ogg_pages.h"

namespace cleave {
namespace {

// The bits of one packet, least significant first, wherever its pages lie.
class PacketBits {
 public:
  // `index` counts packets from the beginning of the file.
  PacketBits(absl::string_view file, int index) : file_(file) {
    while (index > 0 && NextSegment()) {
      if (segment_bytes_ < kSegmentBytesMax) --index;
      body_at_ += segment_left_;
      segment_left_ = 0;
    }
    segment_bytes_ = kSegmentBytesMax;  // the packet goes on with the next segment
  }

  // Up to 32 bits. Behind the end of the packet all are 0, and ended() is true.
  uint32_t Read(int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; ++i) {
      if (bits_left_ == 0) {
        byte_ = NextByte();
        bits_left_ = 8;
      }
      value |= uint64_t{byte_ & 1u} << i;
      byte_ = static_cast<uint8_t>(byte_ >> 1);
      --bits_left_;
    }
    return ended_ ? 0 : static_cast<uint32_t>(value);
  }
  bool ended() const { return ended_; }

 private:
  static constexpr size_t kSegmentBytesMax = 255;  // a shorter one ends its packet

  uint8_t NextByte() {
    while (segment_left_ == 0) {
      if (segment_bytes_ < kSegmentBytesMax) ended_ = true;
      if (ended_ || !NextSegment()) return 0;
    }
    --segment_left_;
    return static_cast<uint8_t>(page_->body[body_at_++]);
  }

  // Goes to the next segment of this or a later page; false, and ended(), when there is none.
  bool NextSegment() {
    while (!page_ || segment_ == page_->lengths.size()) {
      page_ = ReadOggPage(file_, at_);
      if (!page_) {
        ended_ = true;
        return false;
      }
      at_ += page_->bytes;
      segment_ = body_at_ = 0;
    }
    segment_bytes_ = segment_left_ = static_cast<uint8_t>(page_->lengths[segment_++]);
    return true;
  }

  const absl::string_view file_;
  size_t at_ = 0;  // of the next page
  std::optional<OggPage> page_;
  size_t segment_ = 0;        // the next one
  size_t segment_bytes_ = 0;  // of the one before
  size_t segment_left_ = 0;   // of these, not read
  size_t body_at_ = 0;
  uint8_t byte_ = 0;
  int bits_left_ = 0;
  bool ended_ = false;
};

// The lengths of the code words.
bool SkipLengths(PacketBits& bits, int64_t entries) {
  constexpr int kLengthBits = 5, kLengthMax = 32;
  if (bits.Read(1) == 0) {
    const bool is_sparse = bits.Read(1) != 0;
    for (int64_t i = 0; i < entries && !bits.ended(); ++i) {
      if (!is_sparse || bits.Read(1) != 0) bits.Read(kLengthBits);
    }
    return !bits.ended();
  }
  int64_t described = 0;
  for (uint32_t length = bits.Read(kLengthBits) + 1; described < entries; ++length) {
    if (length > kLengthMax || bits.ended()) return false;
    described += bits.Read(std::bit_width(static_cast<uint64_t>(entries - described)));
  }
  return described == entries;
}

// The largest n whose power `dimensions` is at most `entries`.
int64_t ValuesPerDimension(int64_t entries, int64_t dimensions) {
  const auto fits = [&](int64_t n) {
    int64_t power = 1;
    for (int64_t i = 0; i < dimensions && power <= entries; ++i) power *= n;
    return power <= entries;
  };
  int64_t n = 1;
  while (n < entries && fits(n + 1)) ++n;
  return n;
}

// Passes over one book and adds the numbers it will hold.
bool SkipBook(PacketBits& bits, int64_t& values) {
  constexpr uint32_t kSync = 0x564342;
  if (bits.Read(24) != kSync) return false;
  const int64_t dimensions = bits.Read(16);
  const int64_t entries = bits.Read(24);
  if (dimensions < 1 || entries < 1) return false;
  values += entries * dimensions;
  if (values > kVorbisBookValuesMax || !SkipLengths(bits, entries)) return false;
  const uint32_t lookup = bits.Read(4);
  if (lookup > 2) return false;
  if (lookup == 0) return !bits.ended();
  bits.Read(32);  // the least value
  bits.Read(32);  // and the step
  const int value_bits = static_cast<int>(bits.Read(4)) + 1;
  bits.Read(1);  // whether they add up
  const int64_t stored =
      lookup == 1 ? ValuesPerDimension(entries, dimensions) : entries * dimensions;
  for (int64_t i = 0; i < stored && !bits.ended(); ++i) bits.Read(value_bits);
  return !bits.ended();
}

}  // namespace

bool VorbisSetupIsModest(absl::string_view file) {
  constexpr int kSetupPacket = 2;
  PacketBits bits(file, kSetupPacket);
  for (const char expected : {'\x05', 'v', 'o', 'r', 'b', 'i', 's'}) {
    if (bits.Read(8) != static_cast<uint8_t>(expected)) return false;
  }
  const int books = static_cast<int>(bits.Read(8)) + 1;
  int64_t values = 0;
  for (int i = 0; i < books; ++i) {
    if (!SkipBook(bits, values)) return false;
  }
  return true;
}

}  // namespace cleave
