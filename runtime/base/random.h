// Random numbers as functions of their place, so that nothing has to be remembered or replayed.
#pragma once

#include <array>
#include <cstdint>

namespace cleave {

// Philox4x32-10: four 32-bit words, a fixed function of a 128-bit counter and a 64-bit key.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A seed that differs from call to call and from process to process. Thread-safe.
uint64_t RandomSeed();

}  // namespace cleave
