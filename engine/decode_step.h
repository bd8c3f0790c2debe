// One step of generation: draft, verify, accept. The tokens are those of decoding one at a time:
// the target draws the token of every place itself, and a draft only spares it a step.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/chunk_planner.h"
#include "engine/draft_planner.h"
#include "engine/model_host.h"
#include "engine/sequence.h"
#include "engine/step_batch.h"
#include "engine/token_choice.h"
#include "runtime/base/clock.h"

namespace cleave {

// Rows of a step that let `sequences_max` sequences run, and draft where it pays: few sequences
// have all their drafts, many share what there is (every row has logits of its own, so rows are
// dear).
int64_t DecodeRowsMax(int64_t sequences_max, int64_t drafts_max);

// What generation keeps of one sequence, and what the last step did to it.
struct DecodeSequence {
  explicit DecodeSequence(const KvPools& pools, int which = 0) : table(pools), candidate(which) {}

  BlockTable table;             // holds every position but the newest token's
  const int candidate;          // which answer of its request it is
  std::vector<int32_t> output;  // the answer so far, emitted_ids first
  FinishCause finish = FinishCause::kNone;
  int64_t new_tokens = 0;  // that the last step has added to `output`
  // Of these, when the request wants them.
  std::vector<PlaceLogProbabilities> log_probabilities;
  std::vector<int32_t> drafts;  // of the last step

 private:
  friend class DecodeStep;
  const SequenceRequest* request = nullptr;
  std::optional<LogitRules> rules;  // set while it takes part
  LogitRules::Mark rules_mark;      // before the drafts
  int64_t hidden_slot = -1;  // the target's final hidden state that the newest token was drawn from
  DraftAcceptance acceptance{12};
  int64_t first_output = 0;  // its first row of logits
};

// The next positions of a prompt, which a step computes beside its sequences. With the last of them
// it draws the first token.
struct PromptChunk {
  DecodeSequence* generation = nullptr;  // has joined by JoinPrompt; its table ends with the chunk
  int64_t rows = 0;
};

// What a step has done, over all its sequences.
struct DecodeStepSummary {
  int64_t new_tokens = 0;
  std::array<int64_t, kDraftsMax> drafted{}, accepted{};  // by place; a round's first is place 0
};

// Owns the hidden states of the sequences that take part, and learns what steps cost and how often
// drafts are right. The engine's thread uses it. A step allocates nothing.
class DecodeStep {
 public:
  // `host` and `clock` outlive it. Without a drafter, or with drafts_max 0, every step is one
  // token. Of the host's rows and outputs `prompt_rows_max` and one are kept for prompts; with 0
  // there are none. RESOURCE_EXHAUSTED when the device has no room for the states.
  static absl::StatusOr<std::unique_ptr<DecodeStep>> Create(ModelHost& host, const Clock& clock,
                                                            const DraftOptions& options,
                                                            int64_t prompt_rows_max = 0);

  // Takes part from now on. The table holds the positions before the newest token, and
  // `final_hidden` is the state it was drawn from (ModelHost::FetchFinalHidden). `request` outlives
  // the part. At most limits().sequences take part at a time.
  void Join(DecodeSequence& generation, const SequenceRequest& request,
            absl::string_view final_hidden);
  // The same with nothing computed: the table is empty, and steps take chunks of the prompt until
  // `output` has grown.
  void JoinPrompt(DecodeSequence& generation, const SequenceRequest& request);
  void Leave(DecodeSequence& generation);

  // Rows of a prompt that a step of `sequences` may take along; see ChunkPlanner.
  int64_t PromptRows(int64_t sequences, double step_seconds) const {
    return chunk_planner_.Rows(sequences, step_seconds);
  }

  // One step of all `sequences`, which have joined and whose tables have room for one more
  // position. Drafts get pages where there are any. With `chunk`, which may be the only work, also
  // part of a prompt.
  DecodeStepSummary Run(absl::Span<DecodeSequence* const> sequences,
                        const PromptChunk* chunk = nullptr);

 private:
  DecodeStep(ModelHost& host, const Clock& clock, const DraftOptions& options,
             int64_t prompt_rows_max);
  void TakeSlot(DecodeSequence& generation, const SequenceRequest& request);
  static int64_t Verified(const DecodeSequence& generation);
  void PlanDrafts(absl::Span<DecodeSequence* const> sequences);
  double Draft();
  void DraftOne(DecodeSequence& generation, int64_t row);
  void Verify(absl::Span<DecodeSequence* const> sequences, const PromptChunk* chunk);
  void Measured(int64_t sequences, const PromptChunk* chunk, double drafting, double seconds);
  void AddPrompt(const PromptChunk& chunk);
  void FinishChunk(const PromptChunk& chunk, DecodeStepSummary& summary);
  void Append(DecodeSequence& generation, TokenChoice choice);
  void Accept(DecodeSequence& generation, DecodeStepSummary& summary);
  TensorView Hidden(const DecodeSequence& generation) {
    return hidden_.Rows(generation.hidden_slot, 1);
  }

  ModelHost& host_;
  const Clock& clock_;
  const KvShape shape_;
  const int64_t prompt_rows_max_;
  std::vector<int32_t> prompt_ids_;  // of the chunk
  DraftPlanner planner_;
  ChunkPlanner chunk_planner_;
  StepBatch batch_, draft_batch_;
  Buffer memory_;        // of the two below
  TensorView hidden_;    // [sequences, d], by slot
  TensorView previous_;  // [sequences, d], in the order of drafting_
  std::vector<int64_t> free_slots_;
  std::vector<DraftPlanner::Sequence> plan_;
  struct Drafting {
    DecodeSequence* generation;
    int count;
  };
  std::vector<Drafting> drafting_;  // most drafts first
};

}  // namespace cleave
