// Matrices of one allocation, one after the other. First take all of them, then allocate. Internal
// to model/.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "runtime/base/status.h"
#include "runtime/device/device.h"

namespace cleave {

class ActivationArena {
 public:
  // `view` becomes a [rows, cols] matrix; it has memory after Allocate and must stay where it is
  // until then.
  void Take(TensorView& view, DType dtype, int64_t rows, int64_t cols) {
    view = {.dtype = dtype, .rows = rows, .cols = cols, .row_stride = cols};
    views_.push_back({&view, bytes_});
    const int64_t bytes = rows * cols * static_cast<int64_t>(DTypeBytes(dtype));
    bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  // RESOURCE_EXHAUSTED when the device has no such room.
  absl::StatusOr<Buffer> Allocate(Device& device) {
    ASSIGN_OR_RETURN(Buffer buffer, device.Allocate(static_cast<size_t>(bytes_)));
    for (const Taken& taken : views_) {
      taken.view->data = static_cast<char*>(buffer.data()) + taken.offset;
      taken.view->device = device.id();
    }
    return buffer;
  }

 private:
  static constexpr int64_t kAlignment = 64;
  struct Taken {
    TensorView* view;
    int64_t offset;
  };
  std::vector<Taken> views_;
  int64_t bytes_ = 0;
};

}  // namespace cleave
