// Memory and order of work on one device. The host is a device like any other, whose stream has
// always finished what it was given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "runtime/device/tensor.h"

namespace cleave {

class Device;

// Device memory with one owner. Move-only; empty after a move.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  DeviceId device() const;  // the host for an empty buffer
  // The buffer as a [rows, cols] matrix; it must be large enough.
  TensorView View(DType dtype, int64_t rows, int64_t cols) const;

 private:
  friend class Device;
  Buffer(Device* device, void* data, size_t bytes) : device_(device), data_(data), bytes_(bytes) {}
  Device* device_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Work on a device, done in the order it was given. One thread uses a stream.
class Stream {
 public:
  // A place in the order of work: reached once everything submitted before it is done.
  enum class Point : uint64_t {};

  virtual ~Stream() = default;
  // Copies between host and device memory. The host memory must stay as it is until a Point
  // recorded after the call is reached.
  virtual void CopyFromHost(void* device_destination, const void* host_source, size_t bytes) = 0;
  virtual void CopyToHost(void* host_destination, const void* device_source, size_t bytes) = 0;
  // Within the device; the two do not overlap.
  virtual void Copy(void* destination, const void* source, size_t bytes) = 0;
  virtual Point Record() = 0;
  virtual bool Reached(Point point) const = 0;
  virtual void WaitFor(Point point) = 0;
  void WaitForAll() { WaitFor(Record()); }
};

// One device. Outlives every buffer and stream made from it. Thread-safe.
class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceId id() const = 0;
  // 64-byte aligned, zeroed. RESOURCE_EXHAUSTED when the device has no such room.
  absl::StatusOr<Buffer> Allocate(size_t bytes);
  virtual std::unique_ptr<Stream> CreateStream() = 0;

 protected:
  virtual void* AllocateBytes(size_t bytes) = 0;  // nullptr when full
  virtual void FreeBytes(void* data, size_t bytes) = 0;
  friend class Buffer;
};

// The memory of this process.
std::unique_ptr<Device> CreateHostDevice();

}  // namespace cleave
