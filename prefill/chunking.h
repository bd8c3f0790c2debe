// Where a prompt may be cut into chunks.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/sequence.h"

namespace cleave {

// One past the last position of the chunk that starts at `begin` and aims at `rows` (at least 1)
// rows of a prompt of `num_positions`. A picture is never cut: its tokens see each other. So a
// chunk ends before a picture that does not fit, or is stretched over it when the picture comes
// first; it has then as many rows as that picture. Sounds are cut anywhere.
int64_t ChunkEnd(absl::Span<const SoftSpan> media, int64_t num_positions, int64_t begin,
                 int64_t rows);

}  // namespace cleave
