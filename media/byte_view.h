// Unsigned numbers at a place in a file whose author may be hostile: a number that would reach past
// the end is absent. Owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace cleave {

enum class ByteOrder { kBig, kLittle };

struct ByteView {
  absl::string_view bytes;
  ByteOrder order;

  std::optional<uint16_t> U16(size_t at) const {
    const std::optional<uint64_t> value = Read(at, 2);
    if (!value) return std::nullopt;
    return static_cast<uint16_t>(*value);
  }
  std::optional<uint32_t> U32(size_t at) const {
    const std::optional<uint64_t> value = Read(at, 4);
    if (!value) return std::nullopt;
    return static_cast<uint32_t>(*value);
  }

 private:
  std::optional<uint64_t> Read(size_t at, size_t count) const {
    if (at > bytes.size() || bytes.size() - at < count) return std::nullopt;
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t index = order == ByteOrder::kBig ? at + i : at + count - 1 - i;
      value = value << 8 | static_cast<uint8_t>(bytes[index]);
    }
    return value;
  }
};

}  // namespace cleave
