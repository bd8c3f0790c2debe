// What a Vorbis stream's setup would make its decoder allocate.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace cleave {

// Numbers that all code books of a stream may hold. Encoders write some ten thousand; a hostile
// setup of a few hundred bytes can announce 2^24 in each of 256 books.
inline constexpr int64_t kVorbisBookValuesMax = int64_t{1} << 20;

// Whether the code books in the third packet of `file`, an Ogg file of one Vorbis stream, are well
// formed and together within kVorbisBookValuesMax. Allocates nothing.
bool VorbisSetupIsModest(absl::string_view file);

}  // namespace cleave
