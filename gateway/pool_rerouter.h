// How requests whose workers cannot go on find others in this gateway's pool.
#pragma once

#include "gateway/gateway_metrics.h"
#include "gateway/timer_queue.h"
#include "gateway/worker_pool.h"
#include "runtime/base/log.h"

namespace cleave {

class PoolRerouter final : public Rerouter {
 public:
  // Everything outlives it.
  PoolRerouter(const WorkerPool& pool, TimerQueue& timers, const Clock& clock,
               GatewayMetrics& metrics)
      : pool_(pool), timers_(timers), clock_(clock), metrics_(metrics) {}

  absl::StatusOr<Route> ChooseAgain(const Route& last) override { return pool_.ChooseAgain(last); }
  void After(absl::Duration pause, std::function<void()> call) override {
    timers_.Add(clock_.Now() + pause, std::move(call));
  }
  void OnReplay(Reason reason, const Route& last, const Route& next) override {
    const bool equal = last.compatibility == next.compatibility;
    (equal ? metrics_.replays_equal_total : metrics_.replays_other_total).at(reason)->Increment();
    Log(Severity::kInfo, "request_goes_on",
        {{"why", ReasonName(reason)},
         {"prefill", next.is_local() ? "" : next.prefill->name()},
         {"decode", next.decode->name()},
         {"equal_arithmetic", equal}});
  }

 private:
  const WorkerPool& pool_;
  TimerQueue& timers_;
  const Clock& clock_;
  GatewayMetrics& metrics_;
};

}  // namespace cleave
