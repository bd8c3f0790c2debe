#include "client/engine_bench.h"

#include <algorithm>
#include <utility>

#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr int64_t kAnswerTokensMax = 256;
constexpr double kLearningSeconds = 0.3;  // while costs are learned

LocalFigure::Seconds Percentiles(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {.half = seconds[seconds.size() / 2], .most = seconds[seconds.size() * 99 / 100]};
}

}  // namespace

std::vector<int32_t> EngineBench::SomeIds(int64_t count) const {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>((i * 7919 + 13) % host_.config().vocabulary_size));
  }
  return ids;
}

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
  const std::vector<int32_t> ids = SomeIds(prompt_tokens);
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

double EngineBench::BestOf(absl::FunctionRef<void()> pass) const {
  double best = 0;
  for (int repetition = 0; repetition < 5; ++repetition) {
    const absl::Time begin = clock_.Now();
    pass();
    const double seconds = absl::ToDoubleSeconds(clock_.Now() - begin);
    best = repetition == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

absl::StatusOr<RowsFigure> EngineBench::Rows(int64_t rows, const SamplingParameters& sampling) {
  const std::vector<int32_t> ids = SomeIds(rows);
  BlockTable table(host_.pools());
  RETURN_IF_ERROR(table.Extend(rows));
  RowsFigure figure{.rows = rows};
  figure.target_seconds = BestOf([&] {
    Compute(ids, 0, rows, table);
    for (int64_t row = 0; row < rows; ++row) {
      host_.sampler().Choose(host_.FetchLogits(row), sampling, {.position = row});
    }
  });
  if (host_.drafter() == nullptr || rows > host_.limits().sequences) return figure;
  figure.drafter_seconds = BestOf([&] {
    batch_->Clear();
    for (const int32_t id : ids) batch_->AddDraft(id, rows, table);
    host_.kernels().Fill(batch_->batch(), host_.draft_plan());
    const TensorView states = host_.transformer().final_hidden().Rows(0, rows);
    host_.drafter()->Step(host_.draft_plan(), states, host_.kv_memory());
    for (int64_t row = 0; row < rows; ++row) {
      host_.sampler().Choose(host_.FetchDraftLogits(row), sampling, {.position = row});
    }
  });
  return figure;
}

absl::Status EngineBench::Begin(DecodeStep& step, const SamplingParameters& sampling, Run& run) {
  SequenceRequest& request = run.request;
  request = {};
  request.prompt_ids = prompts_[next_prompt_++ % prompts_.size()];
  request.sampling = sampling;
  request.sampling.seed = next_prompt_;
  if (!ignore_stops_) request.stop_ids = host_.config().generation.stop_ids;
  const auto prompt_tokens = static_cast<int64_t>(request.prompt_ids.size());
  request.output_tokens_max =
      std::min(kAnswerTokensMax, host_.context_tokens_max() - prompt_tokens);
  DecodeSequence& generation = run.generation;
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
  std::vector<std::unique_ptr<Run>> runs;
  RETURN_IF_ERROR(BeginAll(*step, sampling, sequences, runs));
  DecodeFigure figure{
      .sequences = sequences, .drafts = drafts.drafts_max, .adaptive = drafts.adaptive};
  double learned = 0;
  while (figure.steps == 0 || absl::Seconds(figure.seconds) < seconds) {
    DecodeStepSummary summary;
    ASSIGN_OR_RETURN(const double took, OneStep(*step, runs, nullptr, summary));
    if (learned < kLearningSeconds) {
      learned += took;
      continue;
    }
    ++figure.steps;
    figure.seconds += took;
    figure.tokens += summary.new_tokens;
    for (size_t place = 0; place < kDraftsMax; ++place) {
      figure.drafted[place] += summary.drafted[place];
      figure.accepted[place] += summary.accepted[place];
    }
  }
  for (const std::unique_ptr<Run>& run : runs) step->Leave(run->generation);
  return figure;
}

absl::Status EngineBench::BeginAll(DecodeStep& step, const SamplingParameters& sampling,
                                   int64_t count, std::vector<std::unique_ptr<Run>>& runs) {
  next_prompt_ = 0;
  for (int64_t i = 0; i < count; ++i) {
    runs.push_back(std::make_unique<Run>(host_.pools()));
    RETURN_IF_ERROR(Begin(step, sampling, *runs.back()));
  }
  return absl::OkStatus();
}

// The seconds of the step alone. Those that have ended begin again behind it.
absl::StatusOr<double> EngineBench::OneStep(DecodeStep& step,
                                            absl::Span<const std::unique_ptr<Run>> runs,
                                            const PromptChunk* chunk, DecodeStepSummary& summary) {
  in_step_.clear();
  for (const std::unique_ptr<Run>& run : runs) {
    RETURN_IF_ERROR(run->generation.table.Extend(1));
    in_step_.push_back(&run->generation);
  }
  const absl::Time begin = clock_.Now();
  summary = step.Run(in_step_, chunk);
  const double took = absl::ToDoubleSeconds(clock_.Now() - begin);
  for (const std::unique_ptr<Run>& run : runs) {
    if (run->generation.finish == FinishCause::kNone) continue;
    step.Leave(run->generation);
    RETURN_IF_ERROR(Begin(step, run->request.sampling, *run));
  }
  return took;
}

absl::StatusOr<LocalFigure> EngineBench::Local(int64_t sequences, int64_t prompt_tokens,
                                               int64_t prompt_rows_max, double step_seconds,
                                               absl::Duration seconds) {
  ASSIGN_OR_RETURN(const std::unique_ptr<DecodeStep> step,
                   DecodeStep::Create(host_, clock_, {}, prompt_rows_max));
  std::vector<std::unique_ptr<Run>> runs;
  RETURN_IF_ERROR(BeginAll(*step, {}, sequences, runs));
  const double wanted = absl::ToDoubleSeconds(seconds);
  DecodeStepSummary summary;
  std::vector<double> alone, beside;
  for (double total = 0; alone.empty() || total < kLearningSeconds + wanted;) {
    ASSIGN_OR_RETURN(const double took, OneStep(*step, runs, nullptr, summary));
    if (total >= kLearningSeconds) alone.push_back(took);
    total += took;
  }
  const std::vector<int32_t> ids = SomeIds(prompt_tokens);
  int64_t computed = 0;
  double total = 0;
  while (beside.empty() || total < wanted) {
    Run prompt(host_.pools());
    prompt.request.prompt_ids = ids;
    prompt.request.output_tokens_max = 1;
    step->JoinPrompt(prompt.generation, prompt.request);
    while (prompt.generation.output.empty()) {
      const int64_t left = prompt_tokens - prompt.generation.table.num_tokens();
      const PromptChunk chunk{&prompt.generation,
                              std::min(left, step->PromptRows(sequences, step_seconds))};
      RETURN_IF_ERROR(prompt.generation.table.Extend(chunk.rows));
      ASSIGN_OR_RETURN(const double took, OneStep(*step, runs, &chunk, summary));
      beside.push_back(took);
      computed += chunk.rows;
      total += took;
    }
    step->Leave(prompt.generation);
  }
  for (const std::unique_ptr<Run>& run : runs) step->Leave(run->generation);
  return LocalFigure{.sequences = sequences,
                     .prompt_tokens = prompt_tokens,
                     .alone = Percentiles(std::move(alone)),
                     .beside = Percentiles(std::move(beside)),
                     .prompt_tokens_per_second = static_cast<double>(computed) / total};
}

}  // namespace cleave
