// All workers that this gateway may use: a static list of addresses.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/decode_connection.h"
#include "gateway/prefill_connection.h"
#include "gateway/router.h"
#include "gateway/timer_queue.h"
#include "runtime/base/clock.h"

namespace cleave {

struct WorkerPoolOptions {
  std::vector<std::string> prefill_addresses;  // host:port
  std::vector<std::string> decode_addresses;
  ConnectionOptions connection;
};

// Who takes requests now.
struct PoolState {
  bool ready = false;  // a request could be routed
  int prefill_usable = 0;
  int decode_usable = 0;

  friend bool operator==(const PoolState&, const PoolState&) = default;
};

// Owns one connection to each worker, for as long as it lives. Thread-safe.
class WorkerPool {
 public:
  // `on_change` hears of every new state; called by gRPC's threads and the timer's, one call at a
  // time. `clock` and `timers` outlive the pool.
  WorkerPool(const WorkerPoolOptions& options, const Clock& clock, TimerQueue& timers,
             std::function<void(const PoolState&)> on_change);
  // Requests that workers still hold are told that these are lost. Waits until gRPC has let go of
  // every call, so that the channels end here.
  ~WorkerPool();

  // UNAVAILABLE as ChooseRoute and ChooseLocalRoute.
  absl::StatusOr<Route> Choose(RouteKind kind) const;
  // See Rerouter.
  absl::StatusOr<Route> ChooseAgain(const Route& last) const;

  // Tokens of the longest sequence that fits on every usable worker, and at most `otherwise`.
  int context_tokens_max(int otherwise) const;

  // A number for a new request.
  RequestNumber NextNumber() { return RequestNumber{next_number_.fetch_add(1)}; }

 private:
  // What connections call when they change. They may do so a little longer than the pool lives.
  struct Readiness {
    Mutex mutex;
    WorkerPool* pool ABSL_GUARDED_BY(mutex) = nullptr;
    PoolState state ABSL_GUARDED_BY(mutex);
    bool was_ready ABSL_GUARDED_BY(mutex) = false;  // ever
    std::string why_not ABSL_GUARDED_BY(mutex);     // as last logged
  };
  static void Update(Readiness& readiness);

  struct Candidates {
    std::vector<PrefillCandidate> prefill;
    std::vector<DecodeCandidate> decode;
  };
  // Every worker as it is now.
  Candidates Look() const;
  absl::StatusOr<Route> ChooseAmong(RouteKind kind, Candidates now) const;

  const std::function<void(const PoolState&)> on_change_;
  const std::shared_ptr<Readiness> readiness_;               // shared with the connections
  mutable std::atomic<size_t> turns_{0};                     // choices made; see Choose
  std::vector<std::shared_ptr<PrefillConnection>> prefill_;  // shared with their streams and routes
  std::vector<std::shared_ptr<DecodeConnection>> decode_;
  std::atomic<uint64_t> next_number_{1};
};

}  // namespace cleave
