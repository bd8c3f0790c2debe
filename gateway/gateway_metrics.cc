#include "gateway/gateway_metrics.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"

namespace cleave {
namespace {

const prometheus::Histogram::BucketBoundaries& TokenBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets{
      1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 262144};
  return buckets;
}

std::vector<Reason> AllReasons() {
  std::vector<Reason> reasons;
  for (size_t i = 0; i < kReasonCount; ++i) reasons.push_back(Reason(i));
  return reasons;
}

std::map<Reason, prometheus::Counter*> ByReason(prometheus::Registry& registry,
                                                const std::string& name, const std::string& help,
                                                const std::vector<Reason>& reasons,
                                                const MetricLabels& labels) {
  std::map<Reason, prometheus::Counter*> counters;
  for (const Reason reason : reasons) {
    MetricLabels all = labels;
    all["reason"] = std::string(ReasonName(reason));
    counters[reason] = &AddCounter(registry, name, help, all);
  }
  return counters;
}

prometheus::Histogram& AddPhase(prometheus::Registry& registry, const char* phase) {
  return AddHistogram(
      registry, "cleave_request_phase_seconds",
      "Where a request's time went; queue counts from its acceptance, tokenize included",
      LatencyBuckets(), {{"phase", phase}});
}

prometheus::Counter& AddTokens(prometheus::Registry& registry, const char* kind) {
  return AddCounter(registry, "cleave_tokens_total", "Tokens by kind.",
                    {{"role", "gateway"}, {"kind", kind}});
}

constexpr std::pair<EndCause, const char*> kCauses[] = {
    {EndCause::kStopId, "stop"},
    {EndCause::kMaxTokens, "max_tokens"},
    {EndCause::kContextFull, "context_full"},
    {EndCause::kStopString, "stop_string"},
};

constexpr std::pair<GenerationPhase, const char*> kPhases[] = {
    {GenerationPhase::kQueue, "queue"},
    {GenerationPhase::kPrefill, "prefill"},
    {GenerationPhase::kTransfer, "transfer"},
    {GenerationPhase::kDecode, "decode"},
};

template <typename Key, size_t size>
std::map<Key, prometheus::Counter*> ByKey(prometheus::Registry& registry, const std::string& name,
                                          const std::string& help, const std::string& label,
                                          const std::pair<Key, const char*> (&keys)[size]) {
  std::map<Key, prometheus::Counter*> counters;
  for (const auto& [key, value] : keys) {
    counters[key] = &AddCounter(registry, name, help, {{label, value}});
  }
  return counters;
}

void Observe(prometheus::Histogram& histogram, absl::Duration duration) {
  histogram.Observe(absl::ToDoubleSeconds(duration));
}

constexpr char kRequests[] = "cleave_gateway_requests_total";
constexpr char kRequestsHelp[] = "Calls that ended, by outcome and reason";
constexpr char kAdmission[] = "cleave_gateway_admission_total";
constexpr char kAdmissionHelp[] = "Requests taken or refused before any worker had them";

std::map<Reason, prometheus::Counter*> AddReplays(prometheus::Registry& registry,
                                                  const char* arithmetic) {
  return ByReason(registry, "cleave_gateway_replays_total",
                  "Requests that went on on other workers or at a later time, by why", AllReasons(),
                  {{"arithmetic", arithmetic}});
}

prometheus::Counter& AddRoute(prometheus::Registry& registry, const char* route) {
  return AddCounter(registry, "cleave_gateway_route_total",
                    "Requests by the route of their first try", {{"route", route}});
}

prometheus::Gauge& AddWorkers(prometheus::Registry& registry, const std::string& role) {
  return AddGauge(registry, "cleave_gateway_workers", "Workers that take requests of this gateway.",
                  {{"role", role}});
}

}  // namespace

GatewayMetrics::GatewayMetrics(prometheus::Registry& registry, const std::string& model)
    : ready(AddGauge(registry, "cleave_ready", "1 while requests can be served")),
      prefill_workers(AddWorkers(registry, "prefill")),
      decode_workers(AddWorkers(registry, "decode")),
      requests_running(AddGauge(registry, "cleave_requests_running", "Requests open now",
                                {{"role", "gateway"}})),
      queue_tokens(AddGauge(registry, "cleave_gateway_queue_tokens",
                            "Prompt tokens that wait for their first token")),
      admission_accepted_total(AddCounter(registry, kAdmission, kAdmissionHelp,
                                          {{"decision", "accept"}, {"reason", ""}})),
      route_disaggregated_total(AddRoute(registry, "disaggregated")),
      route_local_total(AddRoute(registry, "local")),
      admission_rejected_total(ByReason(
          registry, kAdmission, kAdmissionHelp,
          {Reason::kQueueFull, Reason::kDraining, Reason::kNoPrefillWorker, Reason::kNoDecodeWorker,
           Reason::kWorkerMismatch, Reason::kContextTooLong, Reason::kQueueDeadline},
          {{"decision", "reject"}})),
      media_rejected_total(ByReason(
          registry, "cleave_media_rejected_total", "Requests refused for a picture or a sound",
          {Reason::kMediaUnsupported, Reason::kMediaUndecodable, Reason::kMediaLimit}, {})),
      request_finished_total(ByKey(registry, "cleave_request_finished_total",
                                   "Answers that were completed", "reason", kCauses)),
      request_cancelled_total(ByKey(registry, "cleave_request_cancelled_total",
                                    "Requests that their client gave up", "phase", kPhases)),
      replays_equal_total(AddReplays(registry, "equal")),
      replays_other_total(AddReplays(registry, "other")),
      request_ttft_seconds(AddHistogram(registry, "cleave_request_ttft_seconds",
                                        "Accepted until the first token", LatencyBuckets())),
      request_itl_seconds(AddHistogram(registry, "cleave_request_itl_seconds",
                                       "Between two steps of one answer", StepBuckets())),
      request_tpot_seconds(AddHistogram(registry, "cleave_request_tpot_seconds",
                                        "Mean time of a token after the first", StepBuckets())),
      request_duration_seconds(AddHistogram(registry, "cleave_request_duration_seconds",
                                            "Accepted until the end", LatencyBuckets())),
      phase_tokenize_seconds(AddPhase(registry, "tokenize")),
      phase_queue_seconds(AddPhase(registry, "queue")),
      phase_media_seconds(AddPhase(registry, "media")),
      phase_prefill_seconds(AddPhase(registry, "prefill")),
      phase_grant_wait_seconds(AddPhase(registry, "grant_wait")),
      phase_transfer_exposed_seconds(AddPhase(registry, "transfer_exposed")),
      phase_handover_seconds(AddPhase(registry, "handover")),
      phase_decode_seconds(AddPhase(registry, "decode")),
      request_prompt_tokens(AddHistogram(registry, "cleave_request_prompt_tokens",
                                         "Tokens of a prompt", TokenBuckets())),
      request_output_tokens(AddHistogram(registry, "cleave_request_output_tokens",
                                         "Tokens of an answer", TokenBuckets())),
      prompt_tokens_total(AddTokens(registry, "prompt")),
      image_tokens_total(AddTokens(registry, "image")),
      audio_tokens_total(AddTokens(registry, "audio")),
      video_tokens_total(AddTokens(registry, "video")),
      output_tokens_total(AddTokens(registry, "output")),
      requests_ok_total_(
          AddCounter(registry, kRequests, kRequestsHelp, {{"outcome", "ok"}, {"reason", ""}})) {
  for (const Reason reason : AllReasons()) {
    const char* outcome = reason == Reason::kCancelled ? "cancelled" : "error";
    requests_failed_total_[reason] =
        &AddCounter(registry, kRequests, kRequestsHelp,
                    {{"outcome", outcome}, {"reason", std::string(ReasonName(reason))}});
  }
  AddBuildInfo(registry, "gateway", model);
}

void GatewayMetrics::CountRequest(const absl::Status& status) {
  if (status.ok()) {
    requests_ok_total_.Increment();
  } else {
    requests_failed_total_.at(GetReason(status))->Increment();
  }
}

void GatewayMetrics::CountEnd(const GenerationResult& result) {
  Observe(request_duration_seconds, result.total);
  if (GetReason(result.status) == Reason::kCancelled) {
    request_cancelled_total.at(result.phase)->Increment();
  }
  if (!result.time_to_first_token) return;
  request_output_tokens.Observe(result.output_tokens);
  Observe(phase_queue_seconds, result.dispatch + result.prefill_phases.queue);
  Observe(phase_media_seconds, result.prefill_phases.media);
  Observe(phase_prefill_seconds, result.prefill_phases.prefill);
  Observe(phase_grant_wait_seconds, result.prefill_phases.grant_wait);
  if (result.output_tokens < 2) return;
  if (result.transfer_exposed) Observe(phase_transfer_exposed_seconds, *result.transfer_exposed);
  Observe(phase_handover_seconds, result.decode_phases.handover);
  Observe(phase_decode_seconds, result.decode_phases.decode);
  Observe(request_tpot_seconds,
          (result.total - *result.time_to_first_token) / (result.output_tokens - 1));
}

}  // namespace cleave
