// Brings a checkpoint's tensors to the device and counts the bytes they take there. Internal to
// model/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/text_config.h"
#include "model/weights.h"

namespace cleave {

class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, Kernels& kernels)
      : checkpoint_(checkpoint), kernels_(kernels) {}

  absl::StatusOr<std::unique_ptr<LinearWeight>> Linear(const std::string& name, int64_t outputs,
                                                       int64_t inputs);
  // A tensor of any shape, seen as [rows, cols] on the device.
  absl::StatusOr<Parameter> Vector(const std::string& name, const std::vector<int64_t>& shape,
                                   int64_t rows, int64_t cols);
  absl::StatusOr<Parameter> Vector(const std::string& name, int64_t size) {
    return Vector(name, {size}, 1, size);
  }
  absl::StatusOr<float> Scalar(const std::string& name);
  // One decoder layer, whose tensors' names begin with `prefix`.
  absl::StatusOr<LayerWeights> Layer(const std::string& prefix, const TextConfig& config,
                                     const LayerConfig& layer, TextRole role);

  int64_t device_bytes() const { return device_bytes_; }

 private:
  absl::Status LoadKeyValue(const std::string& attention, const TextConfig& config,
                            const LayerConfig& layer, LayerWeights& out);

  const Checkpoint& checkpoint_;
  Kernels& kernels_;
  int64_t device_bytes_ = 0;
};

}  // namespace cleave
