#include "gateway/sequence_proto.h"

#include <algorithm>
#include <limits>
#include <string>

namespace cleave {
namespace {

cluster::v1::MediaKind KindToProto(MediaKind kind) {
  switch (kind) {
    case MediaKind::kImage:
      return cluster::v1::MEDIA_KIND_IMAGE;
    case MediaKind::kAudio:
      return cluster::v1::MEDIA_KIND_AUDIO;
    case MediaKind::kVideo:
      break;
  }
  return cluster::v1::MEDIA_KIND_VIDEO_FRAME;
}

void Fill(const MediaItem& item, cluster::v1::MediaSpan& span) {
  span.set_kind(KindToProto(item.kind));
  span.set_first_position(static_cast<uint32_t>(item.first));
  span.set_tokens(static_cast<uint32_t>(item.tokens));
  span.set_content_hash(item.content_hash);
  span.set_image_token_budget(static_cast<uint32_t>(item.image_token_budget));
}

void Fill(const RulesChoice& rules, cluster::v1::LogitRules& proto) {
  for (const auto& [id, bias] : rules.bias) {
    cluster::v1::LogitBias& one = *proto.add_bias();
    one.set_id(id);
    one.set_bias(bias);
  }
  proto.set_repetition_penalty(rules.repetition_penalty);
  proto.set_presence_penalty(rules.presence_penalty);
  proto.set_frequency_penalty(rules.frequency_penalty);
  proto.set_output_tokens_min(rules.output_tokens_min);
  if (!rules.thought_tokens_max) return;
  proto.set_thought_tokens_max(*rules.thought_tokens_max);
  proto.set_thought_begin_id(rules.thought_begin_id);
  proto.set_thought_end_id(rules.thought_end_id);
  proto.set_starts_in_thought(rules.starts_in_thought);
}

cluster::v1::Priority PriorityToProto(Priority priority) {
  switch (priority) {
    case Priority::kLow:
      return cluster::v1::PRIORITY_LOW;
    case Priority::kNormal:
      return cluster::v1::PRIORITY_NORMAL;
    case Priority::kHigh:
      break;
  }
  return cluster::v1::PRIORITY_HIGH;
}

// At least 1, at most what a worker can add to its clock.
uint32_t Milliseconds(absl::Duration duration) {
  const int64_t milliseconds = absl::ToInt64Milliseconds(duration);
  return static_cast<uint32_t>(
      std::clamp<int64_t>(milliseconds, 1, std::numeric_limits<int32_t>::max()));
}

}  // namespace

cluster::v1::SequenceSpec ToProto(const SequenceOrder& order, absl::Duration time_left) {
  cluster::v1::SequenceSpec spec;
  spec.mutable_prompt_ids()->Add(order.prompt_ids.begin(), order.prompt_ids.end());
  for (const MediaItem& item : order.media) Fill(item, *spec.add_media());
  spec.mutable_emitted_ids()->Add(order.emitted_ids.begin(), order.emitted_ids.end());
  cluster::v1::Sampling& sampling = *spec.mutable_sampling();
  sampling.set_temperature(order.sampling.temperature);
  sampling.set_top_k(order.sampling.top_k);
  sampling.set_top_p(order.sampling.top_p);
  sampling.set_min_p(order.sampling.min_p);
  sampling.set_seed(order.sampling.seed);
  if (order.rules != RulesChoice{}) Fill(order.rules, *spec.mutable_rules());
  if (order.log_probabilities) spec.set_log_probabilities(*order.log_probabilities);
  spec.mutable_stop_ids()->Add(order.stop_ids.begin(), order.stop_ids.end());
  spec.set_output_tokens_max(static_cast<uint32_t>(order.output_tokens_max));
  for (const int64_t boundary : order.cache_boundaries) {
    spec.add_cache_boundaries(static_cast<uint32_t>(boundary));
  }
  spec.set_cache_salt(order.cache_salt);
  if (order.candidates > 1) spec.set_candidates(static_cast<uint32_t>(order.candidates));
  spec.set_priority(PriorityToProto(order.priority));
  spec.set_request_id(order.request_id);
  // Rounded up: the gateway's own deadline comes first, and it knows what the request waits for.
  spec.set_time_left_milliseconds(Milliseconds(absl::Ceil(time_left, absl::Milliseconds(1))));
  spec.set_age_milliseconds(Milliseconds(order.age));
  return spec;
}

LogProbabilitySet FromProto(const cluster::v1::TokenLogProbabilities& proto) {
  LogProbabilitySet set{.chosen = proto.chosen(), .top = {}};
  for (int i = 0; i < std::min(proto.top_ids_size(), proto.top_size()); ++i) {
    set.top.emplace_back(proto.top_ids(i), proto.top(i));
  }
  return set;
}

EndCause FromProto(cluster::v1::FinishCause cause) {
  switch (cause) {
    case cluster::v1::FINISH_CAUSE_STOP_ID:
      return EndCause::kStopId;
    case cluster::v1::FINISH_CAUSE_MAX_TOKENS:
      return EndCause::kMaxTokens;
    case cluster::v1::FINISH_CAUSE_CONTEXT_FULL:
      return EndCause::kContextFull;
    default:
      return EndCause::kNone;
  }
}

PrefillPhases FromProto(const cluster::v1::FirstToken& token) {
  const cluster::v1::PrefillTimings& timings = token.timings();
  return {.queue = absl::Seconds(timings.queue_seconds()),
          .media = absl::Seconds(timings.media_seconds()),
          .prefill = absl::Seconds(timings.prefill_seconds()),
          .grant_wait = absl::Seconds(timings.grant_wait_seconds()),
          .cached_tokens = token.cached_tokens()};
}

DecodePhases FromProto(const cluster::v1::DecodeTimings& timings) {
  return {.handover = absl::Seconds(timings.handover_seconds()),
          .decode = absl::Seconds(timings.decode_seconds())};
}

}  // namespace cleave
