// What every media target checks: a probe and a decoder never disagree, whatever the bytes.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace cleave::fuzz {

// Probes, decodes and scales under small limits. The decoded size must be the probed one, and every
// failure typed.
void CheckPicture(absl::string_view file);

// Probes and decodes up to a second. The number of tokens must be the probed one, every sample
// finite and every failure typed.
void CheckSound(absl::string_view file);

// `file` with its first bytes replaced, so that mutations do not lose the kind: `magic` at `at`.
std::string WithMagic(absl::string_view file, size_t at, absl::string_view magic);

}  // namespace cleave::fuzz
