#include "prefill/chunking.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/planted_bug.h"

namespace cleave {

int64_t ChunkEnd(absl::Span<const SoftSpan> media, int64_t num_positions, int64_t begin,
                 int64_t rows) {
  CHECK(begin < num_positions && rows >= 1);
  const int64_t end = std::min(num_positions, begin + rows);
  for (const SoftSpan& span : media) {
    const bool cut = span.first_position < end && end < span.end();
    if (!IsPicture(span.kind) || !cut || Planted(Bug::kPictureCut)) continue;
    CHECK(begin <= span.first_position);  // no chunk has ended inside it
    return span.first_position == begin ? span.end() : span.first_position;
  }
  return end;
}

}  // namespace cleave
