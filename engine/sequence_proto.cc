#include "engine/sequence_proto.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::StatusOr<SoftSpan> SpanFromProto(const cluster::v1::MediaSpan& proto) {
  SoftSpan span{.kind = SoftKind::kImage,
                .first_position = proto.first_position(),
                .tokens = proto.tokens(),
                .image_token_budget = static_cast<int>(proto.image_token_budget())};
  ASSIGN_OR_RETURN(span.content_hash, ContentHashFromProto(proto.content_hash()));
  switch (proto.kind()) {
    case cluster::v1::MEDIA_KIND_IMAGE:
      return span;
    case cluster::v1::MEDIA_KIND_AUDIO:
      span.kind = SoftKind::kAudio;
      return span;
    case cluster::v1::MEDIA_KIND_VIDEO_FRAME:
      span.kind = SoftKind::kVideoFrame;
      return span;
    default:
      return InvalidField(Reason::kFieldInvalid, "kind", "image, audio or video frame",
                          absl::StrCat(static_cast<int>(proto.kind())));
  }
}

LogitRuleParameters RulesFromProto(const cluster::v1::LogitRules& proto) {
  LogitRuleParameters rules{.repetition_penalty = proto.repetition_penalty(),
                            .presence_penalty = proto.presence_penalty(),
                            .frequency_penalty = proto.frequency_penalty(),
                            .output_tokens_min = proto.output_tokens_min(),
                            .thought_begin_id = proto.thought_begin_id(),
                            .thought_end_id = proto.thought_end_id(),
                            .starts_in_thought = proto.starts_in_thought()};
  for (const cluster::v1::LogitBias& bias : proto.bias()) {
    rules.logit_bias.emplace_back(bias.id(), bias.bias());
  }
  if (proto.has_thought_tokens_max()) rules.thought_tokens_max = proto.thought_tokens_max();
  return rules;
}

Priority PriorityFromProto(cluster::v1::Priority proto) {
  if (proto == cluster::v1::PRIORITY_LOW) return Priority::kLow;
  return proto == cluster::v1::PRIORITY_HIGH ? Priority::kHigh : Priority::kNormal;
}

}  // namespace

absl::StatusOr<ContentHash> ContentHashFromProto(absl::string_view bytes) {
  ContentHash hash;
  if (bytes.size() != hash.size()) {
    return InvalidField(Reason::kFieldInvalid, "content_hash", absl::StrCat(hash.size(), " bytes"),
                        absl::StrCat(bytes.size(), " bytes"));
  }
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

absl::StatusOr<SequenceRequest> SequenceFromProto(const cluster::v1::SequenceSpec& spec,
                                                  const ModelConfig& config,
                                                  int64_t context_tokens_max, absl::Time now) {
  SequenceRequest request{
      .request_id = spec.request_id(),
      .prompt_ids = {spec.prompt_ids().begin(), spec.prompt_ids().end()},
      .emitted_ids = {spec.emitted_ids().begin(), spec.emitted_ids().end()},
      .candidates = static_cast<int>(std::clamp<uint32_t>(spec.candidates(), 1, 1 << 20)),
      .sampling = {.temperature = spec.sampling().temperature(),
                   .top_k = static_cast<int>(std::min<uint32_t>(spec.sampling().top_k(), 1 << 30)),
                   .top_p = spec.sampling().top_p(),
                   .min_p = spec.sampling().min_p(),
                   .seed = spec.sampling().seed()},
      .stop_ids = {spec.stop_ids().begin(), spec.stop_ids().end()},
      .output_tokens_max = std::min<int64_t>(spec.output_tokens_max(), context_tokens_max),
      .cache_boundaries = {spec.cache_boundaries().begin(), spec.cache_boundaries().end()},
      .cache_salt = spec.cache_salt(),
      .priority = PriorityFromProto(spec.priority()),
      .accepted = now - absl::Milliseconds(spec.age_milliseconds()),
      .deadline = now + absl::Milliseconds(spec.time_left_milliseconds())};
  if (spec.has_rules()) request.rules = RulesFromProto(spec.rules());
  if (spec.has_log_probabilities()) {
    request.log_probabilities =
        static_cast<int>(std::min<uint32_t>(spec.log_probabilities(), 1 << 30));
  }
  for (int i = 0; i < spec.media_size(); ++i) {
    absl::StatusOr<SoftSpan> span = SpanFromProto(spec.media(i));
    if (!span.ok()) return PrefixField(span.status(), absl::StrCat("media[", i, "]"));
    request.media.push_back(*std::move(span));
  }
  RETURN_IF_ERROR(request.Validate(config, context_tokens_max));
  return request;
}

cluster::v1::TokenLogProbabilities ToProto(const PlaceLogProbabilities& place) {
  cluster::v1::TokenLogProbabilities proto;
  proto.set_chosen(place.chosen);
  for (const TokenLogProbability& token : place.top) {
    proto.add_top_ids(token.id);
    proto.add_top(token.log_probability);
  }
  return proto;
}

cluster::v1::FinishCause FinishToProto(FinishCause cause) {
  switch (cause) {
    case FinishCause::kNone:
    case FinishCause::kCancelled:
      return cluster::v1::FINISH_CAUSE_UNSPECIFIED;
    case FinishCause::kStopId:
      return cluster::v1::FINISH_CAUSE_STOP_ID;
    case FinishCause::kMaxTokens:
      return cluster::v1::FINISH_CAUSE_MAX_TOKENS;
    case FinishCause::kContextFull:
      return cluster::v1::FINISH_CAUSE_CONTEXT_FULL;
  }
  return cluster::v1::FINISH_CAUSE_UNSPECIFIED;
}

}  // namespace cleave
