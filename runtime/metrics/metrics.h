// Prometheus series. A binary's series stand in one struct whose members are made by these helpers,
// so that the struct is the list. All are exported as 0 from the start.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace cleave {

using MetricLabels = std::map<std::string, std::string>;

prometheus::Counter& AddCounter(prometheus::Registry& registry, const std::string& name,
                                const std::string& help, const MetricLabels& labels = {});
prometheus::Gauge& AddGauge(prometheus::Registry& registry, const std::string& name,
                            const std::string& help, const MetricLabels& labels = {});
// `buckets`: upper bounds, ascending.
prometheus::Histogram& AddHistogram(prometheus::Registry& registry, const std::string& name,
                                    const std::string& help,
                                    const prometheus::Histogram::BucketBoundaries& buckets,
                                    const MetricLabels& labels = {});

// cleave_build_info: always 1, its labels tell version, role and model.
void AddBuildInfo(prometheus::Registry& registry, const std::string& role,
                  const std::string& model);

// Upper bounds in seconds: 1 ms to 60 s for waits and whole requests; 1 ms to 2.5 s, finer at the
// low end, for steps and the time between tokens.
const prometheus::Histogram::BucketBoundaries& LatencyBuckets();
const prometheus::Histogram::BucketBoundaries& StepBuckets();

// Serves GET /metrics over HTTP. Thread-safe.
class MetricsServer {
 public:
  // `address`: host:port. UNAVAILABLE when it cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& address, std::shared_ptr<prometheus::Registry> registry);
  ~MetricsServer();
  int port() const;

 private:
  struct Implementation;
  explicit MetricsServer(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace cleave
