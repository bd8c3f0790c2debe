// Seeds of random-walk tests. `--gtest_random_seed=N` walks other ways; a failure prints the seed,
// and RandomWalk(seed) goes the same way again.
#pragma once

#include <cstdint>
#include <random>

#include <gtest/gtest.h>

namespace cleave {

// The seeds of this run: first, first + 1, ...
inline uint64_t FirstSeed() { return uint64_t(GTEST_FLAG_GET(random_seed)) * 10'000'000; }

// The choices of one walk.
class RandomWalk {
 public:
  explicit RandomWalk(uint64_t seed) : engine_(seed) {}
  // 0 .. n-1.
  int Below(int n) { return static_cast<int>(engine_() % static_cast<uint64_t>(n)); }
  // low .. high.
  int Between(int low, int high) { return low + Below(high - low + 1); }
  bool OneIn(int n) { return Below(n) == 0; }
  uint64_t Bits() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace cleave
