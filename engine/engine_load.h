// How busy an engine is: written by its thread, read by any.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "runtime/kv/block_table.h"
#include "runtime/metrics/metrics.h"

namespace cleave {

struct EngineLoad {
  std::atomic<int64_t> requests_waiting{0};  // accepted, not in a step yet
  std::atomic<int64_t> requests_running{0};
  std::atomic<int64_t> queued_tokens{0};    // accepted and not computed
  std::atomic<int64_t> full_pages_free{0};  // or spare
  std::atomic<int64_t> sliding_pages_free{0};
  std::atomic<double> step_seconds{0};  // mean in which the newest step counts for a fifth

  bool idle() const { return requests_waiting + requests_running == 0; }
  void AddStep(double seconds) {
    const double mean = step_seconds;
    step_seconds = mean == 0 ? seconds : mean + 0.2 * (seconds - mean);
  }
};

// Who holds the pages of both pools, as the engine knows it.
struct KvHoldings {
  // Over live requests and entries of the prefix cache, the pages of each; one that two share
  // counts twice.
  int64_t owners = 0;
  // Pages that only the prefix cache holds. They are as good as free.
  int64_t spare_full = 0, spare_sliding = 0;
};

// The series that every worker has about its requests and its KV pages.
struct EngineLoadMetrics {
  // `role`: "prefill" or "decode".
  EngineLoadMetrics(prometheus::Registry& registry, const std::string& role);

  // Brings load and series up to date.
  void Publish(const KvPools& pools, const KvHoldings& held, EngineLoad& load);

  prometheus::Gauge& requests_waiting;
  prometheus::Gauge& requests_running;
  prometheus::Gauge& kv_cache_usage_ratio;  // of the fuller pool
  prometheus::Gauge& kv_pages_free;
  prometheus::Gauge& kv_pages_live;
  prometheus::Gauge& kv_pages_quarantined;
  prometheus::Gauge& kv_pages_unaccounted;  // must read 0
};

}  // namespace cleave
