#include "decode/decode_metrics.h"

namespace cleave {
namespace {

const prometheus::Histogram::BucketBoundaries kBatchBuckets{1, 2, 4, 8, 16, 32, 64, 128, 256};

}  // namespace

DecodeMetrics::DecodeMetrics(prometheus::Registry& registry)
    : ready(AddGauge(registry, "cleave_ready", "1 while the worker takes work.")),
      model_load_seconds(
          AddGauge(registry, "cleave_model_load_seconds", "Time that loading the model took.")),
      load(registry, "decode"),
      kvlink(registry, "grpc"),
      output_tokens_total(AddCounter(registry, "cleave_tokens_total", "Tokens by kind.",
                                     {{"role", "decode"}, {"kind", "output"}})),
      requests_failed_total(AddCounter(registry, "cleave_decode_requests_failed_total",
                                       "Sequences that ended with an error on this worker.")),
      requests_cancelled_total(AddCounter(registry, "cleave_decode_cancelled_total",
                                          "Sequences that a gateway has cancelled or dropped.")),
      step_seconds(AddHistogram(registry, "cleave_decode_step_seconds",
                                "Duration of one engine step.", StepBuckets())),
      batch_size(AddHistogram(registry, "cleave_decode_batch_size", "Sequences of one engine step.",
                              kBatchBuckets)),
      handover_seconds(AddHistogram(registry, "cleave_handover_seconds",
                                    "From the KV being complete until the sequence was in a step.",
                                    StepBuckets())) {}

}  // namespace cleave
