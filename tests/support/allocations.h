// How often the process has taken memory with new. For tests that link cleave::tests_allocations,
// each a binary of its own, since it replaces operator new.
#pragma once

#include <cstdint>

namespace cleave {

int64_t CountAllocations();

}  // namespace cleave
