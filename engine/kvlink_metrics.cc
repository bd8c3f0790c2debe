#include "engine/kvlink_metrics.h"

namespace cleave {
namespace {

// A figure of the link only grows, and so does the counter that shows it.
void Raise(prometheus::Counter& counter, int64_t total) {
  counter.Increment(static_cast<double>(total) - counter.Value());
}

prometheus::Gauge& StateGauge(prometheus::Registry& registry, const std::string& transport,
                              const std::string& state) {
  return AddGauge(registry, "cleave_kvlink_state",
                  "Links by state; an overdue one was to end and still holds memory.",
                  {{"transport", transport}, {"state", state}});
}

}  // namespace

KvLinkMetrics::KvLinkMetrics(prometheus::Registry& registry, const std::string& transport)
    : bytes_total(AddCounter(registry, "cleave_kvlink_bytes_total",
                             "Bytes of KV frames that crossed the link.",
                             {{"transport", transport}})),
      frames_total(AddCounter(registry, "cleave_kvlink_frames_total",
                              "KV frames that crossed the link.", {{"transport", transport}})),
      failures_total(AddCounter(registry, "cleave_kvlink_failures_total",
                                "Transfers that failed; cancelled ones are none.",
                                {{"transport", transport}})),
      reconnects_total(
          AddCounter(registry, "cleave_kvlink_reconnects_total",
                     "Links from here that failed or ended; the next transfer opens another.",
                     {{"transport", transport}})),
      links_open(StateGauge(registry, transport, "open")),
      links_overdue(StateGauge(registry, transport, "overdue")),
      transfer_seconds(AddHistogram(registry, "cleave_kvlink_transfer_seconds",
                                    "From Grant to the end of a transfer that committed.",
                                    LatencyBuckets(), {{"transport", transport}})),
      grant_wait_seconds(AddHistogram(registry, "cleave_kvlink_grant_wait_seconds",
                                      "From the first Claim (decode worker: the last) to Grant.",
                                      LatencyBuckets(), {{"transport", transport}})) {}

void KvLinkMetrics::OnTransferSeconds(double seconds) { transfer_seconds.Observe(seconds); }

void KvLinkMetrics::OnGrantWaitSeconds(double seconds) { grant_wait_seconds.Observe(seconds); }

void KvLinkMetrics::OnFigures(const LinkFigures& figures) {
  Raise(bytes_total, figures.counters.bytes);
  Raise(frames_total, figures.counters.frames);
  int64_t failures = 0;
  for (const int64_t count : figures.counters.failures) failures += count;
  Raise(failures_total, failures - figures.counters.failures_of(Reason::kCancelled));
  Raise(reconnects_total, figures.links_failed);
  links_open.Set(figures.links_open);
  links_overdue.Set(figures.links_overdue);
}

}  // namespace cleave
