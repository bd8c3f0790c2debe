#include "gateway/prompt_builder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "media/audio_probe.h"
#include "media/image_probe.h"
#include "media/image_size.h"
#include "runtime/base/content_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// The media library says "image.width: ..."; the client sent a field of another name, whose content
// has that width.
absl::Status AtField(const absl::Status& status, const std::string& field) {
  std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (!detail) return status;
  absl::string_view message = status.message();
  for (const absl::string_view kind : {"image: ", "audio: ", "image.", "audio."}) {
    if (!absl::StartsWith(message, kind)) continue;
    message.remove_prefix(kind.size());
    break;
  }
  detail->field = field;
  return MakeError(status.code(), absl::StrCat(field, ": ", message), *detail);
}

absl::StatusOr<int> CountImageTokens(absl::string_view file, int budget,
                                     const MediaLimits& limits) {
  ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(file, limits));
  ASSIGN_OR_RETURN(const TargetImageSize size,
                   ComputeTargetImageSize(info.height, info.width, budget));
  return size.tokens;
}

absl::StatusOr<int> CountAudioTokens(absl::string_view file, const ServedModel& model) {
  ASSIGN_OR_RETURN(const AudioInfo info, ProbeAudio(file, model.media_limits));
  const int tokens_max = model.defaults.audio_tokens_max;
  if (info.tokens > tokens_max) {
    return InvalidField(Reason::kMediaLimit, "audio.tokens",
                        absl::StrCat("at most ", tokens_max, " of 40 ms"),
                        absl::StrCat(info.tokens));
  }
  return static_cast<int>(info.tokens);
}

absl::StatusOr<MediaExtent> MeasureVideo(const MediaInput& input, const ServedModel& model) {
  MediaExtent extent;
  for (const VideoFrameInput& frame : input.frames) {
    const absl::StatusOr<int> tokens =
        CountImageTokens(*frame.bytes, input.image_token_budget, model.media_limits);
    if (!tokens.ok()) return AtField(tokens.status(), frame.field);
    extent.frames.push_back({.seconds = frame.seconds, .tokens = *tokens});
  }
  return extent;
}

absl::StatusOr<MediaExtent> Measure(const MediaInput& input, const ServedModel& model) {
  if (input.kind == MediaKind::kVideo) return MeasureVideo(input, model);
  const absl::StatusOr<int> tokens =
      input.kind == MediaKind::kImage
          ? CountImageTokens(*input.bytes, input.image_token_budget, model.media_limits)
          : CountAudioTokens(*input.bytes, model);
  if (!tokens.ok()) return AtField(tokens.status(), input.field);
  return MediaExtent{.tokens = *tokens, .frames = {}};
}

MediaItem MakeItem(const MediaInput& input, const MediaSpan& span) {
  const VideoFrameInput* frame =
      input.kind == MediaKind::kVideo ? &input.frames[static_cast<size_t>(span.frame)] : nullptr;
  const std::shared_ptr<const std::string>& bytes = frame ? frame->bytes : input.bytes;
  const ContentHash hash = HashContent(*bytes);
  return {.kind = input.kind,
          .first = span.first,
          .tokens = span.tokens,
          .image_token_budget = input.image_token_budget,
          .content_hash = std::string(hash.begin(), hash.end()),
          .bytes = bytes,
          .field = frame ? frame->field : input.field};
}

int& TokensOf(MediaKind kind, Prompt& prompt) {
  switch (kind) {
    case MediaKind::kImage:
      return prompt.image_tokens;
    case MediaKind::kAudio:
      return prompt.audio_tokens;
    case MediaKind::kVideo:
      break;
  }
  return prompt.video_tokens;
}

// Control tokens stand for themselves here: what users wrote has none. Inside a tool loop the
// model's turn is open, and what has been said so far ends with the last result.
std::vector<int64_t> CacheBoundaries(absl::Span<const TokenId> ids, const SpecialTokens& special) {
  std::vector<int64_t> turns;  // where each begins
  int64_t results_end = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == special.turn_begin) turns.push_back(static_cast<int64_t>(i));
    if (ids[i] == special.tool_response_end) results_end = static_cast<int64_t>(i) + 1;
  }
  std::vector<int64_t> boundaries;
  if (turns.size() > 1) boundaries.push_back(turns[1]);
  const int64_t last = turns.empty() ? 0 : std::max(turns.back(), results_end);
  if (turns.size() > 1 && last > turns[1]) boundaries.push_back(last);
  return boundaries;
}

}  // namespace

absl::StatusOr<Prompt> BuildPrompt(const ChatRequest& request, const ServedModel& model) {
  std::vector<MediaExtent> extents;
  Prompt prompt;
  extents.reserve(request.media.size());
  for (const MediaInput& input : request.media) {
    ASSIGN_OR_RETURN(MediaExtent extent, Measure(input, model));
    extents.push_back(std::move(extent));
  }
  const TemplateOptions options{.thinking = request.thinking,
                                .preserve_thinking = request.preserve_thinking,
                                .generation_prompt = true};
  ASSIGN_OR_RETURN(const RenderedPrompt rendered,
                   RenderChat(request.conversation, options, model.tokenizer->vocabulary()));
  ASSIGN_OR_RETURN(EncodedPrompt encoded, EncodePrompt(rendered, extents, *model.tokenizer));
  prompt.ids = std::move(encoded.ids);
  prompt.ends_in_thought = rendered.ends_in_thought;
  prompt.cache_boundaries = CacheBoundaries(prompt.ids, model.tokenizer->vocabulary().special());
  prompt.media.reserve(encoded.spans.size());
  for (const MediaSpan& span : encoded.spans) {
    prompt.media.push_back(MakeItem(request.media[static_cast<size_t>(span.media)], span));
    TokensOf(span.kind, prompt) += span.tokens;
  }
  return prompt;
}

absl::StatusOr<int> OutputTokensMax(const ChatRequest& request, const Prompt& prompt,
                                    int context_tokens_max) {
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  const int64_t left = context_tokens_max - prompt_tokens;
  const std::string limit = absl::StrCat("at most ", context_tokens_max, " tokens");
  if (left < 1) {
    return InvalidField(Reason::kContextTooLong, "messages",
                        absl::StrCat(limit, ", the answer's included"),
                        absl::StrCat("a prompt of ", prompt_tokens, " tokens"));
  }
  if (request.output_tokens_max && *request.output_tokens_max > left) {
    return InvalidField(Reason::kContextTooLong, "max_output_tokens",
                        absl::StrCat(limit, " together"),
                        absl::StrCat("a prompt of ", prompt_tokens, " tokens and an answer of ",
                                     *request.output_tokens_max));
  }
  const int tokens_max = request.output_tokens_max.value_or(static_cast<int>(left));
  if (request.rules.output_tokens_min > static_cast<uint32_t>(tokens_max)) {
    return InvalidField(
        Reason::kFieldInvalid, "min_output_tokens",
        absl::StrCat("at most the ", tokens_max, " tokens that the answer may have"),
        absl::StrCat(request.rules.output_tokens_min));
  }
  return tokens_max;
}

}  // namespace cleave
