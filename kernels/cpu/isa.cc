#include "kernels/cpu/isa.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace cleave::cpu {
namespace {

bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool HasAvx512BFloat16() { return HasAvx512() && __builtin_cpu_supports("avx512bf16"); }

// Slowest first.
struct KnownIsa {
  const Operations& (*operations)();
  bool (*is_supported)();
};
constexpr KnownIsa kIsas[] = {{Avx2Operations, HasAvx2},
                              {Avx512Operations, HasAvx512},
                              {Avx512BFloat16Operations, HasAvx512BFloat16}};

std::string Names(const std::vector<const Operations*>& all) {
  return absl::StrJoin(all, ", ", [](std::string* out, const Operations* operations) {
    out->append(operations->name);
  });
}

}  // namespace

std::vector<const Operations*> SupportedOperations() {
  std::vector<const Operations*> supported;
  for (const KnownIsa& isa : kIsas) {
    if (isa.is_supported()) supported.push_back(&isa.operations());
  }
  return supported;
}

absl::StatusOr<const Operations*> ChooseOperations(const std::string& isa) {
  const std::vector<const Operations*> supported = SupportedOperations();
  if (isa == "auto") {
    if (!supported.empty()) return supported.back();
    return absl::FailedPreconditionError(
        "the cpu kernels need AVX2 and FMA, which this processor does not have; the reference "
        "kernels run anywhere");
  }
  for (const Operations* operations : supported) {
    if (isa == operations->name) return operations;
  }
  std::vector<const Operations*> all;
  for (const KnownIsa& known : kIsas) all.push_back(&known.operations());
  for (const Operations* operations : all) {
    if (isa != operations->name) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "this processor does not have ", isa,
        "; it has: ", supported.empty() ? std::string("none of them") : Names(supported)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no ISA named ", isa, "; there are: auto, ", Names(all)));
}

}  // namespace cleave::cpu
