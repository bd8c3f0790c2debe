#include "gateway/model_service.h"

#include <string>

#include "gateway/call_info.h"
#include "media/image_size.h"
#include "runtime/base/build_info.h"
#include "runtime/base/error.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

void Describe(const RequestLimits& requests, const MediaLimits& media, int context_tokens_max,
              v1::Limits& out) {
  out.set_messages_max(static_cast<uint32_t>(requests.messages_max));
  out.set_parts_per_message_max(static_cast<uint32_t>(requests.parts_per_message_max));
  out.set_text_bytes_max(static_cast<uint64_t>(requests.text_bytes_max));
  out.set_images_max(static_cast<uint32_t>(requests.images_max));
  out.set_image_bytes_max(static_cast<uint64_t>(media.image_bytes_max));
  out.set_image_pixels_max(static_cast<uint64_t>(media.image_pixels_max));
  out.set_audios_max(static_cast<uint32_t>(requests.audios_max));
  out.set_audio_bytes_max(static_cast<uint64_t>(media.audio_bytes_max));
  out.set_audio_seconds_max(static_cast<double>(media.audio_seconds_max));
  out.set_image_side_max(static_cast<uint32_t>(media.image_side_max));
  out.set_audio_channels_max(static_cast<uint32_t>(media.audio_channels_max));
  out.set_audio_rate_min(static_cast<uint32_t>(media.audio_rate_min));
  out.set_audio_rate_max(static_cast<uint32_t>(media.audio_rate_max));
  out.set_videos_max(static_cast<uint32_t>(requests.videos_max));
  out.set_video_frames_max(static_cast<uint32_t>(requests.video_frames_max));
  out.set_video_frames_seen_max(static_cast<uint32_t>(requests.video_frames_seen_max));
  out.set_video_seconds_max(static_cast<uint32_t>(requests.video_seconds_max));
  out.set_stop_strings_max(static_cast<uint32_t>(requests.stop_strings_max));
  out.set_stop_string_bytes_max(static_cast<uint32_t>(requests.stop_string_bytes_max));
  out.set_stop_token_ids_max(static_cast<uint32_t>(requests.stop_ids_max));
  out.set_logit_biases_max(static_cast<uint32_t>(requests.logit_biases_max));
  out.set_cache_salt_bytes_max(static_cast<uint32_t>(requests.cache_salt_bytes_max));
  out.set_candidates_max(static_cast<uint32_t>(requests.candidates_max));
  out.set_log_probabilities_max(static_cast<uint32_t>(requests.log_probabilities_max));
  out.set_output_tokens_max(static_cast<uint32_t>(context_tokens_max - 1));
  out.set_tools_max(static_cast<uint32_t>(requests.tools_max));
  out.set_tool_calls_per_message_max(static_cast<uint32_t>(requests.tool_calls_per_message_max));
  out.set_schema_bytes_max(static_cast<uint64_t>(requests.schema_bytes_max));
  out.set_arguments_bytes_max(static_cast<uint64_t>(requests.arguments_bytes_max));
  out.set_result_json_bytes_max(static_cast<uint64_t>(requests.result_json_bytes_max));
  out.set_json_bytes_max(static_cast<uint64_t>(requests.json_bytes_max));
  out.set_json_depth_max(static_cast<uint32_t>(requests.json_depth_max));
  for (const int budget : kImageBudgets) {
    out.add_image_token_budgets(static_cast<uint32_t>(budget));
  }
}

}  // namespace

void ModelService::Describe(v1::Model& out) const {
  const ModelDefaults& defaults = model_.defaults;
  const int context = pool_.context_tokens_max(defaults.context_tokens_max);
  out.set_name(model_.name);
  out.set_context_tokens_max(static_cast<uint32_t>(context));
  v1::Sampling& sampling = *out.mutable_default_sampling();
  sampling.set_temperature(defaults.temperature);
  sampling.set_top_k(defaults.top_k);
  sampling.set_top_p(defaults.top_p);
  sampling.set_min_p(0);
  sampling.set_repetition_penalty(1);
  sampling.set_presence_penalty(0);
  sampling.set_frequency_penalty(0);
  out.set_default_image_token_budget(static_cast<uint32_t>(defaults.image_token_budget));
  cleave::Describe(model_.limits, model_.media_limits, context, *out.mutable_limits());
  out.mutable_limits()->set_request_bytes_max(static_cast<uint64_t>(request_bytes_max_));
  out.set_build(std::string(BuildVersion()));
  out.set_tokenizer_hash(model_.tokenizer_hash);
  out.set_template_version(kTemplateVersion);
}

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  ReadCallInfo(*context);
  if (request->page_token().empty()) {
    Describe(*response->add_models());
    reactor->Finish(grpc::Status::OK);
  } else {  // one page is all there is, so no token was ever given out
    reactor->Finish(ToGrpc(
        InvalidField(Reason::kFieldInvalid, "page_token", "empty", "a token never given out")));
  }
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::Model* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  ReadCallInfo(*context);
  const absl::Status status = model_.CheckName(request->name());
  if (status.ok()) Describe(*response);
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace cleave
