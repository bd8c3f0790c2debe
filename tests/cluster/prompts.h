// Prompts for tests of engines, and what the model alone answers to them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/sequence.h"
#include "engine/token_choice.h"
#include "prefill/prefill_job.h"
#include "tests/support/model_runner.h"

namespace cleave::testing {

inline constexpr char kModel[] = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny";
inline constexpr char kDrafter[] =
    CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny_assistant";
inline constexpr int kPageTokens = 8;

// A prompt with its media, and what the model run alone, whole, answers.
struct Prompt {
  std::string name;
  SequenceRequest request;
  std::vector<PreparedMedia> media;
  std::vector<int32_t> expected;
  std::vector<std::vector<int32_t>> candidates;  // of each candidate; the first is `expected`
};

inline ImageTiles SomePicture(int rows, int columns) {
  ImageTiles image{.rows = rows, .columns = columns};
  image.tiles.resize(static_cast<size_t>(image.count()) * kTileBytes);
  for (size_t i = 0; i < image.tiles.size(); ++i) {
    image.tiles[i] = static_cast<uint8_t>(i * 2654435761u >> 24);
  }
  return image;
}

inline AudioFrames SomeSound(int frames) {
  AudioFrames sound;
  for (int i = 0; i < frames * kAudioFrameSamples; ++i) {
    sound.frames.push_back(static_cast<float>(std::sin(i * 0.05) * 0.3));
  }
  return sound;
}

// Builds prompts from parts, and answers them with the model alone.
class PromptMaker {
 public:
  explicit PromptMaker(DType kv_dtype) {
    runner_ = *ModelRunner::Load(
        kModel, {.kv = {.page_tokens = kPageTokens, .dtype = kv_dtype}, .positions_max = 512});
  }

  // `output_tokens` above 0: so many, whatever would stop it.
  Prompt Make(const std::string& name, const std::vector<int>& parts, int output_tokens = 0,
              const SamplingParameters& sampling = {}) {
    Prompt prompt{.name = name};
    const ModelConfig& config = runner_->config();
    SequenceRequest& request = prompt.request;
    request.request_id = name;
    request.sampling = sampling;
    request.prompt_ids.push_back(config.tokens.bos);
    for (const int part : parts) {
      if (part > 0) AddText(part, request);
      if (part == kPicture) AddPicture(prompt);
      if (part == kSound) AddSound(prompt);
    }
    request.stop_ids = config.generation.stop_ids;
    request.output_tokens_max = 24;
    if (output_tokens > 0) {
      request.stop_ids.clear();
      request.output_tokens_max = output_tokens;
    }
    request.cache_boundaries = {request.num_positions()};
    Answer(prompt);
    return prompt;
  }

  // The same prompt with so many answers.
  Prompt WithCandidates(Prompt prompt, int candidates) {
    prompt.request.candidates = candidates;
    Answer(prompt);
    return prompt;
  }

  // The next turn of a conversation: the prompt, its answer, more text. Each turn's prompt is kept.
  Prompt Continue(const Prompt& before, const std::string& name, const std::vector<int>& parts) {
    Prompt prompt{.name = name, .request = before.request, .media = before.media};
    SequenceRequest& request = prompt.request;
    request.prompt_ids.insert(request.prompt_ids.end(), before.expected.begin(),
                              before.expected.end());
    for (const int part : parts) AddText(part, request);
    request.cache_boundaries = {before.request.num_positions(), request.num_positions()};
    Answer(prompt);
    return prompt;
  }

  static constexpr int kPicture = -1;
  static constexpr int kSound = -2;

 private:
  void AddText(int tokens, SequenceRequest& request) {
    for (int i = 0; i < tokens; ++i) request.prompt_ids.push_back(300 + (next_ = next_ * 37 % 401));
  }
  void AddSoft(SoftKind kind, int32_t begin, int32_t soft, int32_t end, int64_t tokens,
               SequenceRequest& request) {
    request.prompt_ids.push_back(begin);
    request.media.push_back(
        {.kind = kind, .first_position = request.num_positions(), .tokens = tokens});
    request.prompt_ids.insert(request.prompt_ids.end(), static_cast<size_t>(tokens), soft);
    request.prompt_ids.push_back(end);
  }
  void AddPicture(Prompt& prompt) {
    const ModelTokens& ids = runner_->config().tokens;
    prompt.media.push_back({.image = SomePicture(4, 5)});
    AddSoft(SoftKind::kImage, ids.image_begin, ids.image_soft, ids.image_end, 20, prompt.request);
  }
  void AddSound(Prompt& prompt) {
    const ModelTokens& ids = runner_->config().tokens;
    prompt.media.push_back({.audio = SomeSound(11)});
    AddSoft(SoftKind::kAudio, ids.audio_begin, ids.audio_soft, ids.audio_end, 11, prompt.request);
  }

  void Answer(Prompt& prompt) {
    prompt.candidates.clear();
    for (int i = 0; i < prompt.request.candidates; ++i) {
      prompt.candidates.push_back(RunAlone(prompt, i));
    }
    prompt.expected = prompt.candidates.front();
  }

  std::vector<int32_t> RunAlone(const Prompt& prompt, int candidate) {
    std::vector<RunnerMedia> media;
    for (size_t i = 0; i < prompt.media.size(); ++i) {
      const SoftSpan& span = prompt.request.media[i];
      const bool picture = span.kind == SoftKind::kImage;
      const ImageTiles& image = prompt.media[i].image;
      media.push_back({span.first_position, picture,
                       picture
                           ? *runner_->embedder().EmbedImage(image.tiles, image.rows, image.columns)
                           : *runner_->embedder().EmbedAudio(prompt.media[i].audio.frames)});
    }
    runner_->Reset();
    runner_->Forward(prompt.request.prompt_ids, media, false);
    const ModelConfig& config = runner_->config();
    Sampler sampler(config.vocabulary_size, config.generation.suppressed_ids);
    std::vector<int32_t> tokens;
    while (true) {
      HostRows logits = runner_->Fetch(runner_->transformer().logits());
      const TokenChoice choice =
          ChooseToken(absl::MakeSpan(logits.values), prompt.request, LogitRules(prompt.request),
                      runner_->positions(), sampler, candidate);
      tokens.push_back(choice.id);
      const int64_t count = static_cast<int64_t>(tokens.size());
      if (CheckFinish(prompt.request, tokens.back(), count, 512) != FinishCause::kNone) {
        return tokens;
      }
      runner_->Forward(absl::MakeConstSpan(tokens).last(1), {}, false);
    }
  }

  std::unique_ptr<ModelRunner> runner_;
  int next_ = 1;
};

}  // namespace cleave::testing
