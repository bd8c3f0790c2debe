#include "decode/decode_metrics.h"

namespace cleave {
namespace {

const prometheus::Histogram::BucketBoundaries kBatchBuckets{1, 2, 4, 8, 16, 32, 64, 128, 256};

}  // namespace

DecodeMetrics::DecodeMetrics(prometheus::Registry& registry)
    : ready(AddGauge(registry, "cleave_ready", "1 while the worker takes work.")),
      model_load_seconds(
          AddGauge(registry, "cleave_model_load_seconds", "Time that loading the model took.")),
      requests_waiting(AddGauge(registry, "cleave_requests_waiting",
                                "Sequences whose KV has not come.", {{"role", "decode"}})),
      requests_running(AddGauge(registry, "cleave_requests_running", "Sequences in every step.",
                                {{"role", "decode"}})),
      kv_cache_usage_ratio(AddGauge(registry, "cleave_kv_cache_usage_ratio",
                                    "Share of KV pages in use, of the fuller pool.",
                                    {{"role", "decode"}})),
      kv_pages_free(AddGauge(registry, "cleave_kv_pages", "KV pages by state.", {{"state", "free"}})),
      kv_pages_live(AddGauge(registry, "cleave_kv_pages", "KV pages by state.", {{"state", "live"}})),
      kv_pages_quarantined(
          AddGauge(registry, "cleave_kv_pages", "KV pages by state.", {{"state", "quarantined"}})),
      kv_pages_unaccounted(AddGauge(registry, "cleave_kv_pages_unaccounted",
                                    "KV pages in use that no live sequence owns; must be 0.")),
      output_tokens_total(
          AddCounter(registry, "cleave_tokens_total", "Tokens by kind.", {{"kind", "output"}})),
      requests_failed_total(AddCounter(registry, "cleave_decode_requests_failed_total",
                                       "Sequences that ended with an error on this worker.")),
      requests_cancelled_total(AddCounter(registry, "cleave_request_cancelled_total",
                                          "Sequences that a gateway has cancelled or dropped.")),
      kvlink_bytes_total(AddCounter(registry, "cleave_kvlink_bytes_total",
                                    "KV bytes of committed transfers.", {{"transport", "grpc"}})),
      kvlink_failures_total(AddCounter(registry, "cleave_kvlink_failures_total",
                                       "Transfers that did not commit.", {{"transport", "grpc"}})),
      step_seconds(AddHistogram(registry, "cleave_decode_step_seconds",
                                "Duration of one engine step.", StepBuckets())),
      batch_size(AddHistogram(registry, "cleave_decode_batch_size", "Sequences of one engine step.",
                              kBatchBuckets)),
      handover_seconds(AddHistogram(registry, "cleave_handover_seconds",
                                    "From the KV being complete until the sequence was in a step.",
                                    StepBuckets())) {}

}  // namespace cleave
