#include "tests/cluster/answer_alone.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "engine/sequence_proto.h"
#include "engine/token_choice.h"
#include "gateway/chat_request.h"
#include "gateway/sequence_proto.h"
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

// As workers get it, with the prompt alone.
SequenceRequest ToSequence(const ChatRequest& chat, const Prompt& prompt, const ModelConfig& config,
                           int64_t positions_max) {
  SequenceOrder order{.prompt_ids = prompt.ids,
                      .media = {},
                      .emitted_ids = {},
                      .sampling = chat.sampling,
                      .rules = chat.rules,
                      .log_probabilities = chat.log_probabilities,
                      .stop_ids = {},
                      .output_tokens_max = chat.output_tokens_max.value_or(
                          static_cast<int>(positions_max) - static_cast<int>(prompt.ids.size()))};
  if (!chat.ignore_stop_tokens) order.stop_ids = config.generation.stop_ids;
  return *SequenceFromProto(ToProto(order, absl::Hours(1)), config, positions_max, absl::Now());
}

std::string ToClient(const TokenChoice& choice, const Vocabulary& vocabulary) {
  v1::TokenLogProbabilities out;
  const auto fill = [&](TokenId id, float value, v1::TokenLogProbability& token) {
    token.set_token_id(static_cast<uint32_t>(id));
    token.set_token(std::string(vocabulary.bytes(id)));
    token.set_log_probability(value);
  };
  fill(choice.id, choice.log_probabilities->chosen, *out.mutable_chosen());
  for (const TokenLogProbability& token : choice.log_probabilities->top) {
    fill(token.id, token.log_probability, *out.add_top());
  }
  return out.SerializeAsString();
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
  const SequenceRequest sequence = ToSequence(chat, answer.prompt, config, options.positions_max);
  Sampler sampler(config.vocabulary_size, config.generation.suppressed_ids);
  runner->Forward(answer.prompt.ids, media, false);
  LogitRules rules(sequence);
  FinishCause finish = FinishCause::kNone;
  while (true) {
    HostRows logits = runner->Fetch(runner->transformer().logits());
    const TokenChoice choice =
        ChooseToken(absl::MakeSpan(logits.values), sequence, rules, runner->positions(), sampler);
    answer.ids.push_back(choice.id);
    rules.Push(choice.id);
    if (choice.log_probabilities) {
      answer.log_probabilities.push_back(ToClient(choice, served.tokenizer->vocabulary()));
    }
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
