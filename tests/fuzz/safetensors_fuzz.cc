// A weight file's header is what a stranger wrote. Every tensor that is accepted is read whole.
#include <cstdint>

#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensors = cleave::SafetensorsFile::ParseTensors({data, size}, "fuzz");
  if (!tensors.ok()) return 0;
  unsigned sum = 0;
  for (const auto& [name, tensor] : *tensors) {
    for (const uint8_t byte : tensor.bytes) sum += byte;
    if (tensor.elements() < 0 || tensor.Describe().empty()) __builtin_trap();
  }
  volatile const unsigned keep = sum;  // so that the reads are not optimised away
  static_cast<void>(keep);
  return 0;
}
