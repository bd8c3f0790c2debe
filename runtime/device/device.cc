#include "runtime/device/device.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace cleave {

Buffer::Buffer(Buffer&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) device_->FreeBytes(data_, bytes_);
}

DeviceId Buffer::device() const { return device_ == nullptr ? DeviceId{} : device_->id(); }

TensorView Buffer::View(DType dtype, int64_t rows, int64_t cols) const {
  CHECK(static_cast<size_t>(rows * cols) * DTypeBytes(dtype) <= bytes_);
  return {.data = data_,
          .dtype = dtype,
          .device = device(),
          .rows = rows,
          .cols = cols,
          .row_stride = cols};
}

absl::StatusOr<Buffer> Device::Allocate(size_t bytes) {
  if (bytes == 0) return Buffer();
  void* data = AllocateBytes(bytes);
  if (data == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the device has no room for ", bytes, " bytes"));
  }
  return Buffer(this, data, bytes);
}

}  // namespace cleave
