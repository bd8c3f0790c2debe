#include "engine/engine_load.h"

namespace cleave {
namespace {

prometheus::Gauge& PagesGauge(prometheus::Registry& registry, const std::string& state) {
  return AddGauge(registry, "cleave_kv_pages", "KV pages by state.", {{"state", state}});
}

}  // namespace

EngineLoadMetrics::EngineLoadMetrics(prometheus::Registry& registry, const std::string& role)
    : requests_waiting(AddGauge(registry, "cleave_requests_waiting",
                                "Requests accepted and not in a step yet.", {{"role", role}})),
      requests_running(
          AddGauge(registry, "cleave_requests_running", "Requests in work.", {{"role", role}})),
      kv_cache_usage_ratio(AddGauge(registry, "cleave_kv_cache_usage_ratio",
                                    "Share of KV pages in use, of the fuller pool.",
                                    {{"role", role}})),
      kv_pages_free(PagesGauge(registry, "free")),
      kv_pages_live(PagesGauge(registry, "live")),
      kv_pages_quarantined(PagesGauge(registry, "quarantined")),
      kv_pages_unaccounted(
          AddGauge(registry, "cleave_kv_pages_unaccounted",
                   "Owners of KV pages that are no live request and no cache entry; "
                   "must be 0.")) {}

void EngineLoadMetrics::Publish(const KvPools& pools, const KvHoldings& held, EngineLoad& load) {
  load.full_pages_free = pools.full.num_free() + held.spare_full;
  load.sliding_pages_free = pools.sliding.num_free() + held.spare_sliding;
  requests_waiting.Set(static_cast<double>(load.requests_waiting));
  requests_running.Set(static_cast<double>(load.requests_running));
  const auto used = [](const PageAllocator& pool, int64_t free) {
    return 1.0 - static_cast<double>(free) / pool.num_pages();
  };
  kv_cache_usage_ratio.Set(std::max(used(pools.full, load.full_pages_free),
                                    used(pools.sliding, load.sliding_pages_free)));
  const int64_t live = pools.full.num_live() + pools.sliding.num_live();
  kv_pages_free.Set(pools.full.num_free() + pools.sliding.num_free());
  kv_pages_live.Set(static_cast<double>(live));
  kv_pages_quarantined.Set(pools.full.num_quarantined() + pools.sliding.num_quarantined());
  kv_pages_unaccounted.Set(
      static_cast<double>(pools.full.num_owners() + pools.sliding.num_owners() - held.owners));
}

}  // namespace cleave
