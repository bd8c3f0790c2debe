// Whole-model golden cases, stage by stage.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "kernels/kernels.h"
#include "model/kv_layout.h"
#include "tests/golden/report.h"

namespace cleave::golden {

struct ModelCheckOptions {
  std::string cases_dir;  // holds checkpoints/, cases/ and, optionally, ops.safetensors
  KernelOptions kernels;
  KvForm kv_form = KvForm::kCompact;
};

// FAILED_PRECONDITION when this processor does not have the ISA asked for.
absl::Status CheckBackend(const ModelCheckOptions& options);

// Compares every case of cases/index.json with the golden tensors beside it: media embeddings, the
// merged embeddings, each layer fed with the golden output of the one before, the whole network, K
// and V, logits, and the greedy continuation.
void CheckModel(const ModelCheckOptions& options, Report& report);

// Single operations (ops.safetensors): rotary tables, GELU, softcap, norms.
void CheckOperations(const ModelCheckOptions& options, Report& report);

}  // namespace cleave::golden
