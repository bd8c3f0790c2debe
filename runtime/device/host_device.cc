#include <sys/mman.h>

#include <cstring>

#include "runtime/device/device.h"

namespace cleave {
namespace {

class HostStream final : public Stream {
 public:
  void CopyFromHost(void* device_destination, const void* host_source, size_t bytes) override {
    std::memcpy(device_destination, host_source, bytes);
  }
  void CopyToHost(void* host_destination, const void* device_source, size_t bytes) override {
    std::memcpy(host_destination, device_source, bytes);
  }
  void Copy(void* destination, const void* source, size_t bytes) override {
    std::memcpy(destination, source, bytes);
  }
  Point Record() override { return Point{0}; }
  bool Reached(Point) const override { return true; }
  void WaitFor(Point) override {}
};

class HostDevice final : public Device {
 public:
  DeviceId id() const override { return {DeviceKind::kHost, 0}; }
  std::unique_ptr<Stream> CreateStream() override { return std::make_unique<HostStream>(); }

 protected:
  // Anonymous mappings are zeroed and page-aligned, and a size that cannot be met fails here.
  void* AllocateBytes(size_t bytes) override {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return data == MAP_FAILED ? nullptr : data;
  }
  void FreeBytes(void* data, size_t bytes) override { ::munmap(data, bytes); }
};

}  // namespace

std::unique_ptr<Device> CreateHostDevice() { return std::make_unique<HostDevice>(); }

}  // namespace cleave
