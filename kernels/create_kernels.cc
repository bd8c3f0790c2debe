#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/kernels.h"
#include "kernels/reference/reference_kernels.h"
#include "runtime/base/status.h"

namespace cleave {

absl::StatusOr<std::unique_ptr<Kernels>> CreateKernels(Device& device,
                                                       const KernelOptions& options) {
  CHECK(device.id().kind == DeviceKind::kHost);
  if (options.backend == "reference") return std::make_unique<reference::ReferenceKernels>(device);
  if (options.backend != "cpu") {
    return absl::InvalidArgumentError(absl::StrCat("no kernel backend named ", options.backend,
                                                   "; this build has: cpu, reference"));
  }
  ASSIGN_OR_RETURN(const cpu::Operations* operations, cpu::ChooseOperations(options.isa));
  const int threads = options.threads > 0 ? options.threads : cpu::AvailableProcessors();
  return std::make_unique<cpu::CpuKernels>(device, *operations, threads);
}

std::vector<std::string> SupportedCpuIsas() {
  std::vector<std::string> names;
  for (const cpu::Operations* operations : cpu::SupportedOperations()) {
    names.push_back(operations->name);
  }
  return names;
}

}  // namespace cleave
