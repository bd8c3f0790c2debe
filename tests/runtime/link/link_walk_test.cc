// Random walks of whole clusters over the KV link. Each walk draws its faults, timings and sizes
// from its seed; what must hold is checked in link_simulation.cc.
#include <cstdint>
#include <cstdio>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/runtime/link/link_simulation.h"

namespace cleave::simulation {
namespace {

constexpr uint64_t kWalks = 20'000;
constexpr const char* kFaultNames[kNumFaults] = {
    "cut",    "black hole", "stall",        "corrupt bytes", "corrupt header",
    "repeat", "replay",     "kill prefill", "kill decode",   "zombie",
    "cancel", "forget",     "pool full"};

void Print(const Tally& tally) {
  std::printf(
      "%lld transfers on %lld links, %lld committed (%lld of them unknown to P), %lld frames\n",
      static_cast<long long>(tally.transfers), static_cast<long long>(tally.links),
      static_cast<long long>(tally.committed), static_cast<long long>(tally.lost_replies),
      static_cast<long long>(tally.frames));
  for (size_t i = 0; i < kNumFaults; ++i) {
    std::printf("  %-15s %lld\n", kFaultNames[i], static_cast<long long>(tally.faults[i]));
  }
  for (size_t i = 0; i < tally.failures.size(); ++i) {
    if (tally.failures[i] == 0) continue;
    const std::string name(ReasonName(static_cast<Reason>(i)));
    std::printf("  ended %-22s %lld\n", name.c_str(), static_cast<long long>(tally.failures[i]));
  }
}

TEST(LinkWalkTest, EveryTransferEndsOnceAndNothingLeaks) {
  Tally tally;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + kWalks; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World(seed, tally).Run();
    if (HasFailure()) return;
  }
  Print(tally);
  EXPECT_GT(tally.committed, static_cast<int64_t>(kWalks));
  for (size_t i = 0; i < kNumFaults; ++i) EXPECT_GT(tally.faults[i], 100) << kFaultNames[i];
}

}  // namespace
}  // namespace cleave::simulation
