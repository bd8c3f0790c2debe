// Reads .safetensors files (huggingface/safetensors, "Format"): an 8-byte little-endian header
// length, a JSON header, then the tensors' bytes. The header is treated as hostile.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/base/file.h"
#include "runtime/device/tensor.h"

namespace cleave {

// One stored tensor: row-major, little-endian. A view into the mapped file.
struct StoredTensor {
  DType dtype;
  std::vector<int64_t> shape;
  absl::Span<const uint8_t> bytes;

  int64_t elements() const;
  // "bfloat16 [512, 96]", for messages.
  std::string Describe() const;
};

// One mapped file. Immutable, so any thread may read it.
class SafetensorsFile {
 public:
  // Fails with INVALID_ARGUMENT, naming file and tensor, unless: the header is at most 16 MiB of
  // JSON; names are unique and at most 512 bytes; every dtype is known; no shape has more than 8
  // dimensions; every shape times its dtype is exactly the bytes between its offsets; and the
  // tensors cover the data area without a hole or an overlap.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  // The same over bytes in memory, which must outlive the tensors handed out. `name` stands in
  // error messages.
  static absl::StatusOr<std::map<std::string, StoredTensor>> ParseTensors(
      absl::Span<const uint8_t> file, absl::string_view name);

  // As opened, for messages.
  const std::string& path() const { return path_; }
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  // nullptr when the file has no tensor of that name.
  const StoredTensor* Find(const std::string& name) const;

 private:
  SafetensorsFile(std::string path, MappedFile file, std::map<std::string, StoredTensor> tensors)
      : path_(std::move(path)), file_(std::move(file)), tensors_(std::move(tensors)) {}
  std::string path_;
  MappedFile file_;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace cleave
