// What the engine of a decode worker and the forward pass of a prefill worker give on this machine,
// in one process and without a network.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/decode_step.h"
#include "engine/model_host.h"
#include "runtime/base/clock.h"

namespace cleave {

// Tokens a second of prompts computed alone, in chunks.
struct PrefillFigure {
  int64_t prompt_tokens = 0;
  int64_t chunk_tokens = 0;
  double seconds = 0;  // the best of a few
  double tokens_per_second() const { return static_cast<double>(prompt_tokens) / seconds; }
};

// What a pass over so many rows takes, the choice of their tokens included. Drafts pay where it
// rises little with the rows.
struct RowsFigure {
  int64_t rows = 0;
  double target_seconds = 0;
  std::optional<double> drafter_seconds;  // with at most a row for each sequence of a step
};

// Steps of sequences that all generate.
struct DecodeFigure {
  int64_t sequences = 0;
  int drafts = 0;         // at most, of each sequence in a step
  bool adaptive = false;  // else always so many
  int64_t steps = 0;
  int64_t tokens = 0;
  double seconds = 0;
  std::array<int64_t, kDraftsMax> drafted{}, accepted{};  // by place
  double tokens_per_second() const { return static_cast<double>(tokens) / seconds; }
  double step_seconds() const { return seconds / static_cast<double>(steps); }
  // Of one sequence: 1 without drafts.
  double tokens_per_step() const {
    return static_cast<double>(tokens) / static_cast<double>(steps * sequences);
  }
};

// Times between two steps of sequences that all generate, with nothing else in the steps and with
// prompts that are computed beside them, one after the other.
struct LocalFigure {
  struct Seconds {
    double half = 0, most = 0;  // of the steps took at most so long: 50 and 99 in a hundred
  };
  int64_t sequences = 0;
  int64_t prompt_tokens = 0;
  Seconds alone, beside;
  double prompt_tokens_per_second = 0;
};

// One thread uses it.
class EngineBench {
 public:
  // `prompts`: token ids, at least one, each shorter than the context. With `ignore_stops` answers
  // go on behind the model's own stop tokens.
  EngineBench(ModelHost& host, std::vector<std::vector<int32_t>> prompts, bool ignore_stops = false)
      : host_(host), prompts_(std::move(prompts)), ignore_stops_(ignore_stops) {}

  // A prompt of made-up tokens, computed three times. The host's step has room for a chunk.
  // RESOURCE_EXHAUSTED, as Decode, when the pools have too few pages.
  absl::StatusOr<PrefillFigure> Prefill(int64_t prompt_tokens, int64_t chunk_tokens);

  // A pass of the target over the first positions of one sequence, and one of the drafter behind
  // them, each the best of a few. At most as many rows as a step has outputs and a context has
  // tokens.
  absl::StatusOr<RowsFigure> Rows(int64_t rows, const SamplingParameters& sampling);

  // Steps for at least `seconds`, at least one, not counting the first, in which costs are learned.
  // A sequence that ends is replaced by the next prompt, computed outside the time taken.
  absl::StatusOr<DecodeFigure> Decode(int64_t sequences, const DraftOptions& drafts,
                                      const SamplingParameters& sampling, absl::Duration seconds);

  // `seconds` without prompts, then with, at least a step of each. A step takes as many rows of a
  // prompt, up to `prompt_rows_max`, as keep it within `step_seconds`.
  absl::StatusOr<LocalFigure> Local(int64_t sequences, int64_t prompt_tokens,
                                    int64_t prompt_rows_max, double step_seconds,
                                    absl::Duration seconds);

 private:
  struct Run {
    explicit Run(const KvPools& pools) : generation(pools) {}
    SequenceRequest request;
    DecodeSequence generation;
  };
  absl::Status BeginAll(DecodeStep& step, const SamplingParameters& sampling, int64_t count,
                        std::vector<std::unique_ptr<Run>>& runs);
  absl::StatusOr<double> OneStep(DecodeStep& step, absl::Span<const std::unique_ptr<Run>> runs,
                                 const PromptChunk* chunk, DecodeStepSummary& summary);
  absl::Status Begin(DecodeStep& step, const SamplingParameters& sampling, Run& run);
  std::vector<int32_t> SomeIds(int64_t count) const;
  void Compute(absl::Span<const int32_t> ids, int64_t position, int64_t outputs,
               const BlockTable& table);
  double BestOf(absl::FunctionRef<void()> pass) const;

  ModelHost& host_;
  const std::vector<std::vector<int32_t>> prompts_;
  const bool ignore_stops_;
  size_t next_prompt_ = 0;
  std::vector<DecodeSequence*> in_step_;
  RealClock clock_;
  std::unique_ptr<StepBatch> batch_;
};

}  // namespace cleave
