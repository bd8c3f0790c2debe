#include "runtime/metrics/metrics.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/address.h"
#include "runtime/base/build_info.h"
#include "runtime/base/status.h"

namespace cleave {

prometheus::Counter& AddCounter(prometheus::Registry& registry, const std::string& name,
                                const std::string& help, const MetricLabels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
}

prometheus::Gauge& AddGauge(prometheus::Registry& registry, const std::string& name,
                            const std::string& help, const MetricLabels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
}

prometheus::Histogram& AddHistogram(prometheus::Registry& registry, const std::string& name,
                                    const std::string& help,
                                    const prometheus::Histogram::BucketBoundaries& buckets,
                                    const MetricLabels& labels) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
}

void AddBuildInfo(prometheus::Registry& registry, const std::string& role,
                  const std::string& model) {
  AddGauge(registry, "cleave_build_info", "Always 1; the labels tell.",
           {{"version", std::string(BuildVersion())}, {"model", model}, {"role", role}})
      .Set(1);
}

const prometheus::Histogram::BucketBoundaries& LatencyBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets{
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
  return buckets;
}

const prometheus::Histogram::BucketBoundaries& StepBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets{
      0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03,
      0.05,  0.075, 0.1,   0.15,  0.25,   0.5,  1,     2.5};
  return buckets;
}

struct MetricsServer::Implementation {
  std::shared_ptr<prometheus::Registry> registry;
  std::unique_ptr<prometheus::Exposer> exposer;
};

MetricsServer::MetricsServer(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
MetricsServer::~MetricsServer() = default;

int MetricsServer::port() const { return implementation_->exposer->GetListeningPorts().front(); }

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, std::shared_ptr<prometheus::Registry> registry) {
  RETURN_IF_ERROR(CheckAddress(address, "--metrics"));
  auto implementation = std::make_unique<Implementation>();
  implementation->registry = std::move(registry);
  try {
    implementation->exposer = std::make_unique<prometheus::Exposer>(address, 1);
  } catch (const std::exception&) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics on ", address, ": is the port taken?"));
  }
  implementation->exposer->RegisterCollectable(implementation->registry);
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(implementation)));
}

}  // namespace cleave
