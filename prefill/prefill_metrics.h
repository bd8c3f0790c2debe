// The series of a prefill worker.
#pragma once

#include "engine/engine_load.h"
#include "engine/kvlink_metrics.h"
#include "runtime/metrics/metrics.h"

namespace cleave {

struct PrefillMetrics {
  explicit PrefillMetrics(prometheus::Registry& registry);

  prometheus::Gauge& ready;
  prometheus::Gauge& model_load_seconds;
  EngineLoadMetrics load;
  KvLinkMetrics kvlink;
  prometheus::Gauge& queue_tokens;
  prometheus::Counter& prompt_tokens_total;
  prometheus::Counter& requests_failed_total;
  prometheus::Histogram& cancel_to_free_seconds;
  prometheus::Counter& prefix_cache_hit_tokens;
  prometheus::Counter& prefix_cache_miss_tokens;
  prometheus::Counter& prefix_cache_evictions_total;
  prometheus::Gauge& prefix_cache_entries;
  prometheus::Gauge& prefix_cache_pages;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& batch_tokens;
  prometheus::Histogram& media_decode_seconds;
};

}  // namespace cleave
