#include "engine/decode_step.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/planted_bug.h"
#include "runtime/base/status.h"

namespace cleave {

int64_t DecodeRowsMax(int64_t sequences_max, int64_t drafts_max) {
  constexpr int64_t kEnough = 64;
  return std::min(sequences_max * (1 + drafts_max), std::max(2 * sequences_max, kEnough));
}

absl::StatusOr<std::unique_ptr<DecodeStep>> DecodeStep::Create(ModelHost& host, const Clock& clock,
                                                               const DraftOptions& options,
                                                               int64_t prompt_rows_max) {
  std::unique_ptr<DecodeStep> step(new DecodeStep(host, clock, options, prompt_rows_max));
  const int64_t sequences = host.limits().sequences, d = host.config().hidden_size;
  ASSIGN_OR_RETURN(step->memory_, host.kernels().device().Allocate(static_cast<size_t>(
                                      2 * sequences * host.final_hidden_bytes())));
  const TensorView both = step->memory_.View(host.activations(), 2 * sequences, d);
  step->hidden_ = both.Rows(0, sequences);
  step->previous_ = both.Rows(sequences, sequences);
  return step;
}

DecodeStep::DecodeStep(ModelHost& host, const Clock& clock, const DraftOptions& options,
                       int64_t prompt_rows_max)
    : host_(host),
      clock_(clock),
      shape_(host.layout().shape()),
      prompt_rows_max_(prompt_rows_max),
      planner_({.drafts_max = host.drafter() == nullptr ? 0 : options.drafts_max,
                .adaptive = options.adaptive,
                .shared_noise = options.shared_noise},
               std::min(host.limits().rows - prompt_rows_max,
                        host.limits().outputs - (prompt_rows_max > 0 ? 1 : 0)),
               host.limits().sequences),
      chunk_planner_(prompt_rows_max, host.limits().sequences),
      batch_(host.config().tokens, host.limits()),
      draft_batch_(host.config().tokens, host.limits()) {
  prompt_ids_.reserve(static_cast<size_t>(prompt_rows_max));
  const int64_t sequences = host.limits().sequences;
  for (int64_t slot = sequences; slot-- > 0;) free_slots_.push_back(slot);
  plan_.reserve(static_cast<size_t>(sequences));
  drafting_.reserve(static_cast<size_t>(sequences));
}

void DecodeStep::Join(DecodeSequence& generation, const SequenceRequest& request,
                      absl::string_view final_hidden) {
  CHECK(!generation.output.empty());
  CHECK(static_cast<int64_t>(final_hidden.size()) == host_.final_hidden_bytes());
  TakeSlot(generation, request);
  for (size_t i = request.emitted_ids.size(); i < generation.output.size(); ++i) {
    generation.rules->Push(generation.output[i]);
  }
  Stream& stream = host_.kernels().stream();
  stream.CopyFromHost(Hidden(generation).data, final_hidden.data(), final_hidden.size());
  stream.WaitForAll();
}

void DecodeStep::JoinPrompt(DecodeSequence& generation, const SequenceRequest& request) {
  CHECK(prompt_rows_max_ > 0 && generation.table.num_tokens() == 0);
  generation.output = request.emitted_ids;
  TakeSlot(generation, request);
}

void DecodeStep::TakeSlot(DecodeSequence& generation, const SequenceRequest& request) {
  CHECK(generation.hidden_slot < 0 && !free_slots_.empty());
  generation.request = &request;
  generation.rules.emplace(request);
  generation.hidden_slot = free_slots_.back();
  free_slots_.pop_back();
  generation.drafts.reserve(kDraftsMax);
  if (request.log_probabilities >= 0) generation.log_probabilities.reserve(kDraftsMax + 1);
  const int64_t output_max = std::min(request.output_tokens_max, host_.context_tokens_max());
  generation.output.reserve(static_cast<size_t>(output_max));
  generation.table.Reserve(host_.context_tokens_max(),
                           shape_.window + std::max<int64_t>(kDraftsMax, prompt_rows_max_));
}

void DecodeStep::Leave(DecodeSequence& generation) {
  if (generation.hidden_slot < 0) return;
  free_slots_.push_back(generation.hidden_slot);
  generation.rules.reset();
  generation.hidden_slot = -1;
}

DecodeStepSummary DecodeStep::Run(absl::Span<DecodeSequence* const> sequences,
                                  const PromptChunk* chunk) {
  const absl::Time begin = clock_.Now();
  PlanDrafts(sequences);
  const double drafting = Draft();
  Verify(sequences, chunk);
  DecodeStepSummary summary;
  if (chunk != nullptr) FinishChunk(*chunk, summary);
  for (DecodeSequence* generation : sequences) Accept(*generation, summary);
  Measured(static_cast<int64_t>(sequences.size()), chunk, drafting,
           absl::ToDoubleSeconds(clock_.Now() - begin));
  return summary;
}

// What was not drafting is verifying: also planning and choosing, which with small models count.
void DecodeStep::Measured(int64_t sequences, const PromptChunk* chunk, double drafting,
                          double seconds) {
  const double verifying = seconds - drafting;
  if (chunk == nullptr) {
    planner_.MeasuredVerify(batch_.rows(), verifying);
    return chunk_planner_.MeasuredStep(sequences, seconds);
  }
  const double alone = planner_.VerifySeconds(std::max<int64_t>(1, batch_.rows() - chunk->rows));
  // Unknown at first: then it would be booked on the rows of the prompt.
  if (alone > 0) chunk_planner_.MeasuredRows(chunk->rows, verifying - alone);
}

// Positions whose K and V are in the pages; the newest token stands at the next one.
int64_t DecodeStep::Verified(const DecodeSequence& generation) {
  return static_cast<int64_t>(generation.request->prompt_ids.size() + generation.output.size()) - 1;
}

void DecodeStep::PlanDrafts(absl::Span<DecodeSequence* const> sequences) {
  plan_.clear();
  for (const DecodeSequence* generation : sequences) {
    const int64_t output_left =
        generation->request->output_tokens_max - static_cast<int64_t>(generation->output.size());
    const int64_t context_left = host_.context_tokens_max() - Verified(*generation) - 1;
    const int64_t room = std::min(output_left, context_left) - 1;  // one token comes anyway
    plan_.push_back({.acceptance = &generation->acceptance,
                     .drafts_max = static_cast<int>(std::clamp<int64_t>(room, 0, kDraftsMax))});
  }
  planner_.Plan(absl::MakeSpan(plan_));
  drafting_.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    sequences[i]->drafts.clear();
    sequences[i]->log_probabilities.clear();
    const int count = plan_[i].drafts;
    if (count > 0 && sequences[i]->table.Extend(count).ok()) {
      drafting_.push_back({sequences[i], count});
    }
  }
  // Not stable: nothing depends on the order of equals, and a stable sort takes memory.
  std::sort(drafting_.begin(), drafting_.end(),
            [](const Drafting& a, const Drafting& b) { return a.count > b.count; });
}

// All sequences that draft a k-th token do so together. They get fewer with k, from the end on.
// Returns the seconds it took.
double DecodeStep::Draft() {
  double total = 0;
  Kernels& kernels = host_.kernels();
  for (size_t i = 0; i < drafting_.size(); ++i) {
    DecodeSequence& generation = *drafting_[i].generation;
    generation.rules_mark = generation.rules->mark();
    kernels.Convert(Hidden(generation), previous_.Rows(static_cast<int64_t>(i), 1));
  }
  TensorView previous = previous_;
  for (int place = 0;; ++place) {
    while (!drafting_.empty() && drafting_.back().count <= place) {
      DecodeSequence& done = *drafting_.back().generation;
      done.rules->TakeBack(done.rules_mark, done.drafts);
      drafting_.pop_back();
    }
    if (drafting_.empty()) return total;
    const absl::Time begin = clock_.Now();
    draft_batch_.Clear();
    for (const auto& [generation, count] : drafting_) {
      const int32_t newest = place == 0 ? generation->output.back() : generation->drafts.back();
      draft_batch_.AddDraft(newest, Verified(*generation), generation->table);
    }
    const auto rows = static_cast<int64_t>(drafting_.size());
    kernels.Fill(draft_batch_.batch(), host_.draft_plan());
    host_.drafter()->Step(host_.draft_plan(), previous.Rows(0, rows), host_.kv_memory());
    previous = host_.drafter()->projected();
    for (int64_t row = 0; row < rows; ++row) {
      DraftOne(*drafting_[static_cast<size_t>(row)].generation, row);
    }
    const double seconds = absl::ToDoubleSeconds(clock_.Now() - begin);
    planner_.MeasuredDraft(rows, seconds);
    total += seconds;
  }
}

// With the same noise, rules and filters as the target, so that the two agree often.
void DecodeStep::DraftOne(DecodeSequence& generation, int64_t row) {
  const auto place = static_cast<int64_t>(generation.drafts.size());
  const absl::Span<float> logits = host_.FetchDraftLogits(row);
  generation.rules->Apply(logits);
  const SamplingParameters greedy;
  const bool shared = planner_.options().shared_noise;
  const int32_t token =
      host_.sampler().Choose(logits, shared ? generation.request->sampling : greedy,
                             {.candidate = static_cast<uint32_t>(generation.candidate),
                              .position = Verified(generation) + 1 + place});
  generation.drafts.push_back(token);
  generation.rules->Push(token);
}

void DecodeStep::Verify(absl::Span<DecodeSequence* const> sequences, const PromptChunk* chunk) {
  batch_.Clear();
  for (DecodeSequence* generation : sequences) {
    generation->first_output = batch_.outputs();
    std::array<int32_t, kDraftsMax + 1> ids{generation->output.back()};
    std::copy(generation->drafts.begin(), generation->drafts.end(), ids.begin() + 1);
    const size_t count = generation->drafts.size() + 1;
    batch_.Add(absl::MakeConstSpan(ids).first(count), Verified(*generation), generation->table,
               static_cast<int64_t>(count));
  }
  if (chunk != nullptr) AddPrompt(*chunk);
  host_.kernels().Fill(batch_.batch(), host_.plan());
  host_.transformer().Forward(host_.plan(), {}, host_.kv_memory(), nullptr);
  host_.kernels().stream().WaitForAll();
}

void DecodeStep::AddPrompt(const PromptChunk& chunk) {
  DecodeSequence& generation = *chunk.generation;
  const SequenceRequest& request = *generation.request;
  const int64_t end = generation.table.num_tokens();
  prompt_ids_.clear();
  for (int64_t p = end - chunk.rows; p < end; ++p) prompt_ids_.push_back(request.token_at(p));
  generation.first_output = batch_.outputs();
  batch_.Add(prompt_ids_, end - chunk.rows, generation.table,
             end == request.num_positions() ? 1 : 0);
}

void DecodeStep::FinishChunk(const PromptChunk& chunk, DecodeStepSummary& summary) {
  DecodeSequence& generation = *chunk.generation;
  const SequenceRequest& request = *generation.request;
  const int64_t end = generation.table.num_tokens();
  generation.table.DropBefore(std::max<int64_t>(0, end - (shape_.window - 1)));
  generation.new_tokens = 0;
  generation.log_probabilities.clear();
  if (end < request.num_positions()) return;
  Append(generation, ChooseToken(host_.FetchLogits(generation.first_output), request,
                                 *generation.rules, end, host_.sampler()));
  host_.kernels().Convert(host_.transformer().final_hidden().Rows(generation.first_output, 1),
                          Hidden(generation));
  generation.new_tokens = 1;
  ++summary.new_tokens;
}

// One more token of the answer, and whether it is the last.
void DecodeStep::Append(DecodeSequence& generation, TokenChoice choice) {
  const SequenceRequest& request = *generation.request;
  generation.output.push_back(choice.id);
  generation.rules->Push(choice.id);
  if (choice.log_probabilities) {
    generation.log_probabilities.push_back(*std::move(choice.log_probabilities));
  }
  generation.finish =
      CheckFinish(request, choice.id, static_cast<int64_t>(generation.output.size()),
                  host_.context_tokens_max());
}

// Draws the target's tokens as long as the drafts were the same, and forgets what came after.
void DecodeStep::Accept(DecodeSequence& generation, DecodeStepSummary& summary) {
  const SequenceRequest& request = *generation.request;
  const int64_t verified = Verified(generation);
  const auto drafted = static_cast<int>(generation.drafts.size());
  int place = 0;
  while (true) {
    const int64_t row = generation.first_output + place;
    const int64_t position = Planted(Bug::kNoiseOfTheStep) ? row : verified + 1 + place;
    Append(generation, ChooseToken(host_.FetchLogits(row), request, *generation.rules, position,
                                   host_.sampler(), generation.candidate));
    const bool right = place < drafted &&
                       (generation.drafts[static_cast<size_t>(place)] == generation.output.back() ||
                        Planted(Bug::kOneDraftTooMany));
    if (!right || generation.finish != FinishCause::kNone) break;
    ++place;
  }
  generation.new_tokens = place + 1;
  summary.new_tokens += generation.new_tokens;
  // A finish leaves the drafts behind it unjudged.
  const int judged = std::min(drafted, place + 1);
  const bool last_right =
      place < drafted && generation.drafts[static_cast<size_t>(place)] == generation.output.back();
  const int accepted = last_right ? place + 1 : place;
  generation.acceptance.Observe(judged, accepted);
  planner_.Observe(judged, accepted);
  for (int i = 0; i < drafted; ++i) ++summary.drafted[static_cast<size_t>(i)];
  for (int i = 0; i < accepted; ++i) ++summary.accepted[static_cast<size_t>(i)];
  host_.kernels().Convert(
      host_.transformer().final_hidden().Rows(generation.first_output + place, 1),
      Hidden(generation));
  generation.table.Truncate(verified + place + 1);
  // The next query stands behind the last verified position and sees window - 1 before it.
  const int64_t window = shape_.window - (Planted(Bug::kWindowOffByOne) ? 1 : 0);
  generation.table.DropBefore(std::max<int64_t>(0, verified + place + 1 - (window - 1)));
}

}  // namespace cleave
