// A linear layer's matrix, packed for the CPU backend (kernels/cpu/operations.h says how).
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/kernels.h"
#include "runtime/device/device.h"

namespace cleave::cpu {

class PackedLinearWeight final : public LinearWeight {
 public:
  // INVALID_ARGUMENT for a dtype that is no weight's, RESOURCE_EXHAUSTED without memory.
  static absl::StatusOr<std::unique_ptr<PackedLinearWeight>> Pack(const HostMatrix& source,
                                                                  Device& device, ThreadPool& pool);

  int64_t outputs() const override { return weights_.outputs; }
  int64_t inputs() const override { return weights_.inputs; }
  size_t device_bytes() const override { return buffer_.bytes(); }
  const PackedWeights& packed() const { return weights_; }

  // out[k] = weight[output, k], widened. out: [inputs].
  void ReadRow(int64_t output, float* out) const;

 private:
  PackedLinearWeight(Buffer buffer, const PackedWeights& weights)
      : buffer_(std::move(buffer)), weights_(weights) {}

  Buffer buffer_;
  PackedWeights weights_;
};

}  // namespace cleave::cpu
