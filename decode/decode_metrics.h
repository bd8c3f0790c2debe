// The series of a decode worker.
#pragma once

#include "runtime/metrics/metrics.h"

namespace cleave {

struct DecodeMetrics {
  explicit DecodeMetrics(prometheus::Registry& registry);

  prometheus::Gauge& ready;
  prometheus::Gauge& model_load_seconds;
  prometheus::Gauge& requests_waiting;
  prometheus::Gauge& requests_running;
  prometheus::Gauge& kv_cache_usage_ratio;  // the fuller of the two pools
  prometheus::Gauge& kv_pages_free;
  prometheus::Gauge& kv_pages_live;
  prometheus::Gauge& kv_pages_quarantined;
  prometheus::Gauge& kv_pages_unaccounted;  // must read 0
  prometheus::Counter& output_tokens_total;
  prometheus::Counter& requests_failed_total;
  prometheus::Counter& requests_cancelled_total;
  prometheus::Counter& kvlink_bytes_total;
  prometheus::Counter& kvlink_failures_total;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& batch_size;
  prometheus::Histogram& handover_seconds;
};

}  // namespace cleave
