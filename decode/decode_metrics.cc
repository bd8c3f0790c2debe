#include "decode/decode_metrics.h"

namespace cleave {
namespace {

const prometheus::Histogram::BucketBoundaries kBatchBuckets{1, 2, 4, 8, 16, 32, 64, 128, 256};
const prometheus::Histogram::BucketBoundaries kDraftBuckets{0, 1, 2, 3, 4, 5, 6, 7, 8};

std::array<prometheus::Counter*, kDraftsMax> AddByPlace(prometheus::Registry& registry,
                                                        const std::string& name,
                                                        const std::string& help) {
  std::array<prometheus::Counter*, kDraftsMax> counters{};
  for (size_t place = 0; place < kDraftsMax; ++place) {
    counters[place] = &AddCounter(registry, name, help, {{"position", std::to_string(place + 1)}});
  }
  return counters;
}

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
      preemptions_total(AddCounter(registry, "cleave_decode_preemptions_total",
                                   "Sequences given back because others needed their KV pages.")),
      cancel_to_free_seconds(AddHistogram(registry, "cleave_cancel_to_free_seconds",
                                          "From a cancel until all pages were back.", StepBuckets(),
                                          {{"role", "decode"}})),
      step_seconds(AddHistogram(registry, "cleave_decode_step_seconds",
                                "Duration of one engine step.", StepBuckets())),
      batch_size(AddHistogram(registry, "cleave_decode_batch_size", "Sequences of one engine step.",
                              kBatchBuckets)),
      handover_seconds(AddHistogram(registry, "cleave_handover_seconds",
                                    "From the KV being complete until the sequence was in a step.",
                                    StepBuckets())),
      mtp_drafted(AddByPlace(registry, "cleave_mtp_drafted_tokens_total",
                             "Drafts, by place in their round.")),
      mtp_accepted(AddByPlace(registry, "cleave_mtp_accepted_tokens_total",
                              "Drafts that the target drew itself, by place in their round.")),
      mtp_draft_length(AddHistogram(registry, "cleave_mtp_draft_length",
                                    "Drafts to a sequence, the mean of a step.", kDraftBuckets)) {}

}  // namespace cleave
