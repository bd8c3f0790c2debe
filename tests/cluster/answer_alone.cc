#include "tests/cluster/answer_alone.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "engine/token_choice.h"
#include "gateway/chat_request.h"
#include "media/audio_decode.h"
#include "media/image_tiles.h"
#include "tests/support/status_matchers.h"

namespace cleave::testing {
namespace {

RunnerMedia Embed(const MediaItem& item, const ServedModel& served, ModelRunner& runner) {
  MediaEmbedder& embedder = runner.embedder();
  if (item.kind == MediaKind::kAudio) {
    const AudioFrames audio = *PrepareAudio(*item.bytes, served.media_limits);
    return {item.first, false, *embedder.EmbedAudio(audio.frames)};
  }
  const ImageTiles image = *PrepareImage(*item.bytes, item.image_token_budget, served.media_limits);
  const PixelScale scale =
      item.kind == MediaKind::kVideo ? PixelScale::kVideoFrame : PixelScale::kImage;
  return {item.first, true, *embedder.EmbedImage(image.tiles, image.rows, image.columns, scale)};
}

SequenceRequest ToSequence(const ChatRequest& chat, const AloneAnswer& answer,
                           const ModelConfig& config, int64_t positions_max) {
  SequenceRequest request{
      .prompt_ids = answer.prompt.ids,
      .sampling = {.temperature = chat.sampling.temperature,
                   .top_k = static_cast<int>(chat.sampling.top_k),
                   .top_p = chat.sampling.top_p,
                   .min_p = chat.sampling.min_p,
                   .seed = chat.sampling.seed},
      .output_tokens_max = chat.output_tokens_max.value_or(
          static_cast<int>(positions_max) - static_cast<int>(answer.prompt.ids.size()))};
  if (!chat.ignore_stop_tokens) request.stop_ids = config.generation.stop_ids;
  return request;
}

}  // namespace

AloneAnswer AnswerAlone(const std::string& model_folder, v1::GenerateRequest request,
                        const RunnerOptions& options) {
  const ServedModel served = *ServedModel::Load(model_folder, "");
  const ChatRequest chat = *ReadChatRequest(request, served);
  AloneAnswer answer{.prompt = *BuildPrompt(chat, served), .ids = {}, .reply = {}};
  const auto runner = *ModelRunner::Load(model_folder, options);
  std::vector<RunnerMedia> media;
  for (const MediaItem& item : answer.prompt.media) media.push_back(Embed(item, served, *runner));
  const ModelConfig& config = runner->config();
  const SequenceRequest sequence = ToSequence(chat, answer, config, options.positions_max);
  Sampler sampler(config.vocabulary_size, config.generation.suppressed_ids);
  runner->Forward(answer.prompt.ids, media, false);
  FinishCause finish = FinishCause::kNone;
  while (true) {
    HostRows logits = runner->Fetch(runner->transformer().logits());
    answer.ids.push_back(ChooseToken(absl::MakeSpan(logits.values), sequence, LogitRules(sequence),
                                     runner->positions(), sampler)
                             .id);
    finish = CheckFinish(sequence, answer.ids.back(), static_cast<int64_t>(answer.ids.size()),
                         options.positions_max);
    if (finish != FinishCause::kNone) break;
    runner->Forward(absl::MakeConstSpan(answer.ids).last(1), {}, false);
  }
  ReplyAssembler assembler(served.tokenizer->vocabulary(), {}, answer.prompt.ends_in_thought);
  const size_t hidden = finish == FinishCause::kStopId ? 1 : 0;
  EXPECT_OK(assembler.Push(absl::MakeConstSpan(answer.ids).first(answer.ids.size() - hidden),
                           answer.reply));
  assembler.Finish(answer.reply);
  return answer;
}

}  // namespace cleave::testing
