#include "client/engine_bench.h"

#include <algorithm>
#include <utility>

#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr int64_t kAnswerTokensMax = 256;
constexpr absl::Duration kLearning = absl::Milliseconds(300);  // while costs are learned

}  // namespace

void EngineBench::Compute(absl::Span<const int32_t> ids, int64_t position, int64_t outputs,
                          const BlockTable& table) {
  if (batch_ == nullptr) {
    batch_ = std::make_unique<StepBatch>(host_.config().tokens, host_.limits());
  }
  batch_->Clear();
  batch_->Add(ids, position, table, outputs);
  host_.kernels().Fill(batch_->batch(), host_.plan());
  host_.transformer().Forward(host_.plan(), {}, host_.kv_memory(), nullptr);
  host_.kernels().stream().WaitForAll();
}

absl::StatusOr<PrefillFigure> EngineBench::Prefill(int64_t prompt_tokens, int64_t chunk_tokens) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < prompt_tokens; ++i) {
    ids.push_back(static_cast<int32_t>((i * 7919 + 13) % host_.config().vocabulary_size));
  }
  PrefillFigure figure{.prompt_tokens = prompt_tokens, .chunk_tokens = chunk_tokens};
  for (int repetition = 0; repetition < 3; ++repetition) {
    BlockTable table(host_.pools());
    const absl::Time begin = clock_.Now();
    for (int64_t at = 0; at < prompt_tokens; at += chunk_tokens) {
      const int64_t count = std::min(chunk_tokens, prompt_tokens - at);
      RETURN_IF_ERROR(table.Extend(count));
      Compute(absl::MakeConstSpan(ids).subspan(static_cast<size_t>(at), static_cast<size_t>(count)),
              at, at + count == prompt_tokens ? 1 : 0, table);
      table.DropBefore(std::max<int64_t>(0, at + count - (host_.config().sliding_window - 1)));
    }
    const double seconds = absl::ToDoubleSeconds(clock_.Now() - begin);
    figure.seconds = repetition == 0 ? seconds : std::min(figure.seconds, seconds);
  }
  return figure;
}

absl::Status EngineBench::Begin(DecodeStep& step, const SamplingParameters& sampling, Run& run) {
  SequenceRequest& request = run.request;
  request = {};
  request.prompt_ids = prompts_[next_prompt_++ % prompts_.size()];
  request.sampling = sampling;
  request.sampling.seed = next_prompt_;
  request.stop_ids = host_.config().generation.stop_ids;
  const auto prompt_tokens = static_cast<int64_t>(request.prompt_ids.size());
  request.output_tokens_max =
      std::min(kAnswerTokensMax, host_.context_tokens_max() - prompt_tokens);
  Generation& generation = run.generation;
  generation.table.Release();
  generation.finish = FinishCause::kNone;
  RETURN_IF_ERROR(generation.table.Extend(prompt_tokens));
  Compute(request.prompt_ids, 0, 1, generation.table);
  const TokenChoice first = ChooseToken(host_.FetchLogits(0), request, LogitRules(request),
                                        prompt_tokens, host_.sampler());
  generation.output = {first.id};
  step.Join(generation, request, host_.FetchFinalHidden(0));
  return absl::OkStatus();
}

absl::StatusOr<DecodeFigure> EngineBench::Decode(int64_t sequences, const DraftOptions& drafts,
                                                 const SamplingParameters& sampling,
                                                 absl::Duration seconds) {
  ASSIGN_OR_RETURN(const std::unique_ptr<DecodeStep> step,
                   DecodeStep::Create(host_, clock_, drafts));
  next_prompt_ = 0;
  std::vector<std::unique_ptr<Run>> runs;
  std::vector<Generation*> generations;
  for (int64_t i = 0; i < sequences; ++i) {
    runs.push_back(std::make_unique<Run>(host_.pools()));
    RETURN_IF_ERROR(Begin(*step, sampling, *runs.back()));
    generations.push_back(&runs.back()->generation);
  }
  DecodeFigure figure{
      .sequences = sequences, .drafts = drafts.drafts_max, .adaptive = drafts.adaptive};
  absl::Duration learned;
  while (absl::Seconds(figure.seconds) < seconds) {
    for (Generation* generation : generations) RETURN_IF_ERROR(generation->table.Extend(1));
    const absl::Time begin = clock_.Now();
    const DecodeStepSummary summary = step->Run(generations);
    const absl::Duration took = clock_.Now() - begin;
    if (learned < kLearning) {
      learned += took;
    } else {
      ++figure.steps;
      figure.seconds += absl::ToDoubleSeconds(took);
      figure.tokens += summary.new_tokens;
      for (size_t place = 0; place < kDraftsMax; ++place) {
        figure.drafted[place] += summary.drafted[place];
        figure.accepted[place] += summary.accepted[place];
      }
    }
    for (const std::unique_ptr<Run>& run : runs) {
      if (run->generation.finish == FinishCause::kNone) continue;
      step->Leave(run->generation);
      RETURN_IF_ERROR(Begin(*step, sampling, *run));
    }
  }
  for (const std::unique_ptr<Run>& run : runs) step->Leave(run->generation);
  return figure;
}

}  // namespace cleave
