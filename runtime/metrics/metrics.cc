#include "runtime/metrics/metrics.h"

#include <netdb.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/base/build_info.h"
#include "runtime/base/clock.h"

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
  std::string host;  // as getaddrinfo reads it
  std::shared_ptr<prometheus::Registry> registry;
  std::unique_ptr<prometheus::Exposer> exposer;
};

namespace {

// Connects and hangs up, again and again until `ended`.
void Knock(const std::string& host, int port, const std::atomic<bool>& ended) {
  addrinfo* found = nullptr;
  const addrinfo hints{.ai_socktype = SOCK_STREAM};
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return;
  while (!ended) {
    const int connection = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection < 0) break;
    static_cast<void>(::connect(connection, found->ai_addr, found->ai_addrlen));
    ::close(connection);
    cleave::SleepFor(absl::Milliseconds(5));
  }
  ::freeaddrinfo(found);
}

}  // namespace

MetricsServer::MetricsServer(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
// The exposer's thread looks for its end every two seconds, or when somebody connects.
MetricsServer::~MetricsServer() {
  std::atomic<bool> ended{false};
  std::thread visitor([&, number = port()] { Knock(implementation_->host, number, ended); });
  implementation_->exposer.reset();
  ended = true;
  visitor.join();
}

int MetricsServer::port() const { return implementation_->exposer->GetListeningPorts().front(); }

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, std::shared_ptr<prometheus::Registry> registry) {
  auto implementation = std::make_unique<Implementation>();
  implementation->host = std::string(absl::StripSuffix(
      absl::StripPrefix(absl::string_view(address).substr(0, address.rfind(':')), "["), "]"));
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
