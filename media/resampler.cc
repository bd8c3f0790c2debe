#include "media/resampler.h"

#include <soxr.h>

namespace cleave {
namespace {

constexpr size_t kBufferSamples = 8192;

absl::Status ResamplerFailed() { return absl::InternalError("the resampler failed"); }

}  // namespace

void Resampler::Deleter::operator()(soxr* state) const { soxr_delete(state); }

absl::StatusOr<Resampler> Resampler::Create(double rate_in, double rate_out) {
  soxr_error_t error = nullptr;
  const soxr_io_spec_t samples = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
  const soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
  Resampler resampler(soxr_create(rate_in, rate_out, 1, &error, &samples, &quality, &one_thread));
  if (error != nullptr || resampler.state_ == nullptr) return ResamplerFailed();
  resampler.buffer_.resize(kBufferSamples);
  return resampler;
}

absl::Status Resampler::Feed(absl::Span<const float> samples, std::vector<float>& out) {
  while (!samples.empty()) {
    size_t used = 0;
    size_t made = 0;
    const soxr_error_t error = soxr_process(state_.get(), samples.data(), samples.size(), &used,
                                            buffer_.data(), buffer_.size(), &made);
    if (error != nullptr || (used == 0 && made == 0)) return ResamplerFailed();
    out.insert(out.end(), buffer_.data(), buffer_.data() + made);
    samples.remove_prefix(used);
  }
  return absl::OkStatus();
}

absl::Status Resampler::Finish(std::vector<float>& out) {
  size_t made = 0;
  do {
    const soxr_error_t error =
        soxr_process(state_.get(), nullptr, 0, nullptr, buffer_.data(), buffer_.size(), &made);
    if (error != nullptr) return ResamplerFailed();
    out.insert(out.end(), buffer_.data(), buffer_.data() + made);
  } while (made > 0);
  return absl::OkStatus();
}

}  // namespace cleave
