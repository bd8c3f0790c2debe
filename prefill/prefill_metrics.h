// The series of a prefill worker.
#pragma once

#include "runtime/metrics/metrics.h"

namespace cleave {

struct PrefillMetrics {
  explicit PrefillMetrics(prometheus::Registry& registry);

  prometheus::Gauge& ready;
  prometheus::Gauge& model_load_seconds;
  prometheus::Gauge& requests_waiting;
  prometheus::Gauge& requests_running;
  prometheus::Gauge& kv_cache_usage_ratio;  // the fuller of the two pools
  prometheus::Gauge& queue_tokens;
  prometheus::Gauge& kv_pages_free;
  prometheus::Gauge& kv_pages_live;
  prometheus::Gauge& kv_pages_quarantined;
  prometheus::Gauge& kv_pages_unaccounted;  // must read 0
  prometheus::Counter& prompt_tokens_total;
  prometheus::Counter& requests_failed_total;
  prometheus::Counter& kvlink_bytes_total;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& batch_tokens;
  prometheus::Histogram& media_decode_seconds;
  prometheus::Histogram& kvlink_grant_wait_seconds;
};

}  // namespace cleave
