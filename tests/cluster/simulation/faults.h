// What goes wrong in a simulated cluster, and what has been seen of it.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "runtime/base/error.h"
#include "tests/runtime/random_walk.h"

namespace cleave::simulation {

enum class Fault {
  kCut,           // a stream of the KV link breaks; each end hears of it in its own time
  kBlackHole,     // nothing arrives on it any more, and nobody says so
  kStall,         // a message, and all behind it, take up to seconds
  kCorruptBytes,  // a byte of a frame flips
  kRepeat,        // a message of the KV link arrives twice
  kKillPrefill,   // the process is gone; a new one takes its place
  kKillDecode,
  kDrainPrefill,  // the process is asked to stop
  kDrainDecode,
  kPartition,    // the gateway loses a worker that goes on, and finds it again: a zombie
  kLoseUpload,   // media do not arrive
  kLeave,        // a client goes away
  kShortOfTime,  // deadlines of seconds
};
inline constexpr size_t kNumFaults = static_cast<size_t>(Fault::kShortOfTime) + 1;

// Over many walks.
struct Tally {
  std::array<int64_t, kNumFaults> faults{};
  std::map<Reason, int64_t> replays, failures;
  int64_t requests = 0, completed = 0, local = 0;
  double preemptions = 0, drafts_accepted = 0;
  int64_t cached_prompts = 0;
};

// The faults of one walk.
class Faults {
 public:
  Faults(RandomWalk& walk, Tally& tally) : walk_(walk), tally_(tally) {
    calm_ = walk.OneIn(8);
    for (bool& enabled : enabled_) enabled = !calm_ && walk.OneIn(4);
  }
  bool calm() const { return calm_; }
  // From here on all goes well.
  void Stop() { enabled_.fill(false); }
  bool Happens(Fault fault, int one_in) {
    const auto index = static_cast<size_t>(fault);
    if (!enabled_[index] || !walk_.OneIn(one_in)) return false;
    ++tally_.faults[index];
    return true;
  }

 private:
  RandomWalk& walk_;
  Tally& tally_;
  bool calm_ = false;
  std::array<bool, kNumFaults> enabled_{};
};

}  // namespace cleave::simulation
