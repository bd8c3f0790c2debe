// Sample rate conversion, a stream at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

struct soxr;

namespace cleave {

// One mono sound on its way from one rate to another (libsoxr, "very high quality": a linear-phase
// filter in double precision, flat to 0.91 of the lower rate's half). Deterministic: the same
// pieces give the same samples. Needs the calling thread only; not thread-safe.
class Resampler {
 public:
  // Rates in Hz. Fails only when memory runs out.
  static absl::StatusOr<Resampler> Create(double rate_in, double rate_out);

  // Appends to `out` what can be said after these further samples: it comes later than they do.
  absl::Status Feed(absl::Span<const float> samples, std::vector<float>& out);
  // Appends the rest. Nothing may be fed after it.
  absl::Status Finish(std::vector<float>& out);

 private:
  struct Deleter {
    void operator()(soxr* state) const;
  };
  explicit Resampler(soxr* state) : state_(state) {}

  std::unique_ptr<soxr, Deleter> state_;
  std::vector<float> buffer_;  // what one call of the library may give
};

}  // namespace cleave
