// The two configuration files, separated by a zero byte. A configuration that is accepted must be
// one that page layouts can be computed for.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "model/kv_layout.h"
#include "model/model_config.h"
#include "model/transformer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<absl::string_view> files = absl::StrSplit(text, '\0');
  files.resize(2);
  const auto config = cleave::ModelConfig::Parse(files[0], files[1], "fuzz");
  if (!config.ok()) return 0;
  const auto layout = cleave::KvLayout::Create(*config, {.dtype = cleave::DType::kFloat32});
  if (!layout.ok() || layout->kind(cleave::KvKind::kFull).page_bytes <= 0) __builtin_trap();
  for (const auto& layer : config->layers) {
    cleave::InverseFrequencies(config->rope(layer.kind), layer.head_dim);
  }
  return 0;
}
