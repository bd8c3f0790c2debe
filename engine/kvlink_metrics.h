// The series of one end of the KV link, the same on both kinds of worker.
#pragma once

#include <string>

#include "runtime/link/link_limits.h"
#include "runtime/metrics/metrics.h"

namespace cleave {

// What the link itself counts and measures. One link thread calls it.
struct KvLinkMetrics final : LinkObserver {
  // `transport`: "grpc" or "nccl".
  KvLinkMetrics(prometheus::Registry& registry, const std::string& transport);

  void OnTransferSeconds(double seconds) override;
  void OnGrantWaitSeconds(double seconds) override;
  void OnFigures(const LinkFigures& figures) override;

  prometheus::Counter& bytes_total;
  prometheus::Counter& frames_total;
  prometheus::Counter& failures_total;
  prometheus::Counter& reconnects_total;
  prometheus::Gauge& links_open;
  prometheus::Gauge& links_overdue;
  prometheus::Histogram& transfer_seconds;
  prometheus::Histogram& grant_wait_seconds;
};

}  // namespace cleave
