// The series of a decode worker.
#pragma once

#include <array>

#include "engine/draft_planner.h"
#include "engine/engine_load.h"
#include "engine/kvlink_metrics.h"
#include "runtime/metrics/metrics.h"

namespace cleave {

struct DecodeMetrics {
  explicit DecodeMetrics(prometheus::Registry& registry);

  prometheus::Gauge& ready;
  prometheus::Gauge& model_load_seconds;
  EngineLoadMetrics load;
  KvLinkMetrics kvlink;
  prometheus::Counter& output_tokens_total;
  prometheus::Counter& requests_failed_total;
  prometheus::Counter& requests_cancelled_total;
  prometheus::Counter& preemptions_total;
  prometheus::Histogram& cancel_to_free_seconds;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& batch_size;
  prometheus::Histogram& handover_seconds;
  // By place in a round of drafts: all of them, and those that the target drew itself.
  std::array<prometheus::Counter*, kDraftsMax> mtp_drafted, mtp_accepted;
  prometheus::Histogram& mtp_draft_length;
};

}  // namespace cleave
