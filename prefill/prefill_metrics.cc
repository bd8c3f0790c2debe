#include "prefill/prefill_metrics.h"

namespace cleave {
namespace {

const prometheus::Histogram::BucketBoundaries kTokenBuckets{1,   8,   32,   64,   128,
                                                            256, 512, 1024, 2048, 4096};

prometheus::Counter& CacheTokens(prometheus::Registry& registry, const std::string& result) {
  return AddCounter(registry, "cleave_prefix_cache_tokens_total",
                    "Prompt tokens that the prefix cache had, and that had to be computed.",
                    {{"result", result}});
}

}  // namespace

PrefillMetrics::PrefillMetrics(prometheus::Registry& registry)
    : ready(AddGauge(registry, "cleave_ready", "1 while the worker takes work.")),
      model_load_seconds(
          AddGauge(registry, "cleave_model_load_seconds", "Time that loading the model took.")),
      load(registry, "prefill"),
      kvlink(registry, "grpc"),
      queue_tokens(AddGauge(registry, "cleave_prefill_queue_tokens",
                            "Prompt tokens accepted and not computed.")),
      prompt_tokens_total(AddCounter(registry, "cleave_tokens_total", "Tokens by kind.",
                                     {{"role", "prefill"}, {"kind", "prompt"}})),
      requests_failed_total(AddCounter(registry, "cleave_prefill_requests_failed_total",
                                       "Requests that ended with an error on this worker.")),
      cancel_to_free_seconds(AddHistogram(registry, "cleave_cancel_to_free_seconds",
                                          "From a cancel until all pages were back.", StepBuckets(),
                                          {{"role", "prefill"}})),
      prefix_cache_hit_tokens(CacheTokens(registry, "hit")),
      prefix_cache_miss_tokens(CacheTokens(registry, "miss")),
      prefix_cache_evictions_total(AddCounter(registry, "cleave_prefix_cache_evictions_total",
                                              "Entries given up for pages.")),
      prefix_cache_entries(AddGauge(registry, "cleave_prefix_cache_entries",
                                    "Beginnings of prompts that are kept.")),
      prefix_cache_pages(AddGauge(registry, "cleave_prefix_cache_pages",
                                  "KV pages that entries hold, of both pools.")),
      step_seconds(AddHistogram(registry, "cleave_prefill_step_seconds",
                                "Duration of one engine step.", StepBuckets())),
      batch_tokens(AddHistogram(registry, "cleave_prefill_batch_tokens", "Rows of one engine step.",
                                kTokenBuckets)),
      media_decode_seconds(AddHistogram(registry, "cleave_media_decode_seconds",
                                        "Decoding of a request's media files.", LatencyBuckets())) {
}

}  // namespace cleave
