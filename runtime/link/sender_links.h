// All links of a prefill worker: one to each decode worker it has sent to.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/link/kv_sender.h"
#include "runtime/link/link_ticker.h"

namespace cleave {

// Makes the mover's end of a link.
class LinkDialer {
 public:
  virtual ~LinkDialer() = default;
  // A transport to `address` (host:port) that reports to `sender`, which exists before its first
  // call. It connects with the first message; that it cannot is told by OnTransportClosed.
  virtual std::unique_ptr<SenderTransport> Dial(const std::string& address, KvSender& sender) = 0;
};

struct SenderLinksOptions {
  LinkIdentity identity;
  Incarnation incarnation{};
  std::vector<MoverKind> movers = {MoverKind::kGrpc};
  KvShape shape;
  LinkLimits limits;
  uint64_t jitter_seed = 0;
  absl::Duration backoff_first = absl::Milliseconds(100);  // doubles with each failure,
  absl::Duration backoff_max = absl::Seconds(10);          // up to this; jitter takes up to half
  int failures_max = 3;
  absl::Duration forget_after = absl::Minutes(10);  // a peer with a failed link, unused since
};

// Opens a link when it is first needed and keeps it. After a failure the next link gets a higher
// epoch and waits out a back-off; transfers begun meanwhile wait with it. After failures_max
// failures in a row the breaker is open: Begin fails at once until the back-off is over, then one
// link is tried. A committed transfer closes it. Not thread-safe: the link thread owns this. See
// KvSender for what the calls mean.
class SenderLinks final : public LinkTicker {
 public:
  // Everything outlives this. `listener` hears OnGranted, OnRefused and OnFinished of all links,
  // and OnLinkOpen and OnLinkFailed of each. `observer` may be null.
  SenderLinks(const SenderLinksOptions& options, LinkDialer& dialer, SenderListener& listener,
              const Clock& clock, LinkObserver* observer = nullptr);
  ~SenderLinks() override;

  // Opens a link off the request path.
  void Connect(const std::string& address);
  // Ids are unique among all transfers under way, whatever their address. With an open breaker the
  // transfer ends at once: NO_DECODE_WORKER with a retry time, or WORKER_MISMATCH if the two
  // workers do not fit together.
  void Begin(const std::string& address, const TransferSpec& spec);
  void QueueFrame(TransferId transfer, const FrameSlice& slice, std::vector<PageBytes> pages,
                  std::function<void()> release);
  void Commit(TransferId transfer, CommitPayload payload);
  void Cancel(TransferId transfer, Reason reason);
  // Ends all links and transfers, and begins no more.
  void Shutdown();
  // After Shutdown: all memory has come back.
  bool done() const override { return shut_down_ && links_.empty(); }

  void OnTick() override;
  absl::Time NextDeadline() const override;

  LinkFigures figures() const;

 private:
  class Link;
  struct Peer {
    int failures = 0;    // links lost since the last committed transfer
    absl::Time dial_at;  // not before
    absl::Status last_failure;
    Link* link = nullptr;  // takes new transfers; null after a failure
  };

  Link& LinkTo(const std::string& address);
  absl::Status Breaker(const Peer& peer) const;
  absl::Duration Backoff(int failures);
  void OnLinkFailed(Link& link, const absl::Status& why);
  void OnFinished(Link& link, TransferId transfer, const absl::Status& status);
  void Sweep();

  const SenderLinksOptions options_;
  LinkDialer& dialer_;
  SenderListener& listener_;
  const Clock& clock_;
  LinkObserver* const observer_;
  std::map<std::string, Peer> peers_;
  uint32_t last_epoch_ = 0;
  std::vector<std::unique_ptr<Link>> links_;  // those in use and those that end
  std::map<TransferId, Link*> routes_;
  LinkCounters ended_;  // of links that are gone
  int64_t links_opened_ = 0;
  int64_t links_failed_ = 0;
  uint64_t jitter_draws_ = 0;
  bool shut_down_ = false;
};

}  // namespace cleave
