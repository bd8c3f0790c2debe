// The gateway's series.
#pragma once

#include <map>
#include <string>

#include "gateway/generation.h"
#include "runtime/base/error.h"
#include "runtime/metrics/metrics.h"

namespace cleave {

// All exported as 0 from the start; labels have closed sets of values. Thread-safe.
struct GatewayMetrics {
  GatewayMetrics(prometheus::Registry& registry, const std::string& model);

  prometheus::Gauge& ready;  // 1 while requests can be served
  prometheus::Gauge& prefill_workers;
  prometheus::Gauge& decode_workers;
  prometheus::Gauge& requests_running;
  prometheus::Gauge& queue_tokens;  // of prompts that wait for their first token
  prometheus::Counter& admission_accepted_total;
  prometheus::Counter& route_disaggregated_total;
  prometheus::Counter& route_local_total;
  std::map<Reason, prometheus::Counter*> admission_rejected_total;
  std::map<Reason, prometheus::Counter*> media_rejected_total;
  std::map<EndCause, prometheus::Counter*> request_finished_total;
  std::map<GenerationPhase, prometheus::Counter*> request_cancelled_total;
  // Tries after a request's first, on workers that compute the same bits, and on others.
  std::map<Reason, prometheus::Counter*> replays_equal_total, replays_other_total;

  prometheus::Histogram& request_ttft_seconds;
  prometheus::Histogram& request_itl_seconds;   // between two steps of one answer
  prometheus::Histogram& request_tpot_seconds;  // mean time of a token after the first
  prometheus::Histogram& request_duration_seconds;
  prometheus::Histogram& phase_tokenize_seconds;
  prometheus::Histogram& phase_queue_seconds;
  prometheus::Histogram& phase_media_seconds;
  prometheus::Histogram& phase_prefill_seconds;
  prometheus::Histogram& phase_grant_wait_seconds;
  prometheus::Histogram& phase_transfer_exposed_seconds;
  prometheus::Histogram& phase_handover_seconds;
  prometheus::Histogram& phase_decode_seconds;
  prometheus::Histogram& request_prompt_tokens;
  prometheus::Histogram& request_output_tokens;

  prometheus::Counter& prompt_tokens_total;
  prometheus::Counter& image_tokens_total;
  prometheus::Counter& audio_tokens_total;
  prometheus::Counter& video_tokens_total;
  prometheus::Counter& output_tokens_total;

  // Of cleave_gateway_requests_total{outcome,reason}.
  void CountRequest(const absl::Status& status);
  // What a request's end tells.
  void CountEnd(const GenerationResult& result);

 private:
  prometheus::Counter& requests_ok_total_;
  std::map<Reason, prometheus::Counter*> requests_failed_total_;
};

}  // namespace cleave
