// Which instruction sets this processor has, and the operations compiled for each.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/operations.h"

namespace cleave::cpu {

// The operations of the ISA of that name, or of the best one for "auto". Errors as
// CreateKernels.
absl::StatusOr<const Operations*> ChooseOperations(const std::string& isa);

// Those that this processor has, slowest first.
std::vector<const Operations*> SupportedOperations();

}  // namespace cleave::cpu
