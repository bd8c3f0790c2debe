// The times and sizes of a KV link, and what is counted on it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "runtime/base/error.h"

namespace cleave {

// Every wait has a clock of its own, which starts when the wait does. A link on which one frame
// takes longer than the heartbeat limit needs smaller frames: a Keepalive waits behind a frame.
struct LinkLimits {
  absl::Duration open = absl::Seconds(5);    // OpenLink to its reply
  absl::Duration grant = absl::Seconds(10);  // first Claim to Grant, repeats included
  // A frame: the larger of this and frame_factor times bytes / measured rate. Long enough that a
  // busy machine which lets a process wait its turn does not look like a dead peer.
  absl::Duration frame_min = absl::Seconds(1);
  double frame_factor = 8;
  double first_rate = 100e6;                // bytes/s assumed before the first frame
  absl::Duration lease = absl::Seconds(5);  // a transfer that the peer names no more
  absl::Duration heartbeat = absl::Milliseconds(500);
  int heartbeats_missed = 3;                         // silence of so many: the peer is dead
  absl::Duration close = absl::Seconds(2);           // the mover gives all memory back
  absl::Duration retry_min = absl::Milliseconds(5);  // shortest pause before a repeated Claim

  int64_t frame_bytes_max = int64_t{4} << 20;   // told by D; P cuts page runs to it
  int64_t mover_bytes_max = int64_t{16} << 20;  // frames with the mover at once, all transfers
  int64_t credits = 4;                          // frames of one transfer on their way at once
  bool checksums = true;                        // P's: both ends sum up the frames and compare

  absl::Duration dead_after() const { return heartbeat * heartbeats_missed; }
};

// Counters of one end of one link; they only grow. The link thread owns them.
struct LinkCounters {
  int64_t bytes = 0;  // of frames; sender: handed to the mover, receiver: arrived
  int64_t frames = 0;
  int64_t frames_ignored = 0;    // receiver: for transfers that had ended; included in frames
  int64_t messages_ignored = 0;  // about transfers that had ended
  int64_t claims = 0;            // repeats included
  int64_t grants = 0;
  int64_t refusals = 0;
  int64_t commits = 0;                           // transfers that ended well
  std::array<int64_t, kReasonCount> failures{};  // by Reason

  int64_t failures_of(Reason reason) const { return failures[static_cast<size_t>(reason)]; }
  LinkCounters& operator+=(const LinkCounters& other);
};

inline LinkCounters& LinkCounters::operator+=(const LinkCounters& other) {
  bytes += other.bytes;
  frames += other.frames;
  frames_ignored += other.frames_ignored;
  messages_ignored += other.messages_ignored;
  claims += other.claims;
  grants += other.grants;
  refusals += other.refusals;
  commits += other.commits;
  for (size_t i = 0; i < failures.size(); ++i) failures[i] += other.failures[i];
  return *this;
}

// All links of a worker together, those that have ended included.
struct LinkFigures {
  LinkCounters counters;
  int64_t links_opened = 0;  // sender
  int64_t links_failed = 0;  // sender: whether or not they had opened
  int links_open = 0;        // now
  int links_overdue = 0;  // now: the mover has not given all memory back within LinkLimits::close
};

// Gets each duration as it is measured, and the figures after every turn of the link thread, which
// calls it. Must not block.
class LinkObserver {
 public:
  virtual ~LinkObserver() = default;
  virtual void OnFigures(const LinkFigures& figures) = 0;
  virtual void OnTransferSeconds(double seconds) = 0;
  virtual void OnGrantWaitSeconds(double seconds) = 0;
};

// How fast frames cross a link, and so how long one may take.
class TransferRate {
 public:
  explicit TransferRate(const LinkLimits& limits)
      : bytes_per_second_(limits.first_rate),
        frame_min_(limits.frame_min),
        frame_factor_(limits.frame_factor) {}

  // A frame has crossed. The mean forgets: the newest frame counts for a fifth.
  void Add(int64_t bytes, absl::Duration took) {
    const double seconds = absl::ToDoubleSeconds(took);
    if (bytes <= 0 || seconds <= 0) return;
    bytes_per_second_ = 0.8 * bytes_per_second_ + 0.2 * static_cast<double>(bytes) / seconds;
  }

  absl::Duration FrameLimit(int64_t bytes) const {
    return std::max(frame_min_,
                    absl::Seconds(frame_factor_ * static_cast<double>(bytes) / bytes_per_second_));
  }

  double bytes_per_second() const { return bytes_per_second_; }

 private:
  double bytes_per_second_;
  absl::Duration frame_min_;
  double frame_factor_;
};

}  // namespace cleave
