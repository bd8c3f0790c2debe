// Whole-model golden cases, stage by stage.
#pragma once

#include <string>

#include "tests/golden/report.h"

namespace cleave::golden {

struct ModelCheckOptions {
  std::string cases_dir;  // holds checkpoints/, cases/ and, optionally, ops.safetensors
  std::string kernels = "reference";
};

// Compares every case of cases/index.json with the golden tensors beside it: media embeddings, the
// merged embeddings, each layer fed with the golden output of the one before, the whole network, K
// and V, logits, and the greedy continuation.
void CheckModel(const ModelCheckOptions& options, Report& report);

// Single operations (ops.safetensors): rotary tables, GELU, softcap, norms.
void CheckOperations(const ModelCheckOptions& options, Report& report);

}  // namespace cleave::golden
