#include "engine/step_batch.h"

#include "model/mtp_drafter.h"

namespace cleave {

StepBatch::StepBatch(const ModelTokens& tokens, const BatchLimits& limits) : tokens_(tokens) {
  token_ids_.reserve(static_cast<size_t>(limits.rows));
  sliding_visible_end_.reserve(static_cast<size_t>(limits.rows));
  full_visible_end_.reserve(static_cast<size_t>(limits.rows));
  output_rows_.reserve(static_cast<size_t>(limits.outputs));
  sequences_.reserve(static_cast<size_t>(limits.sequences));
}

void StepBatch::Clear() {
  token_ids_.clear();
  sliding_visible_end_.clear();
  full_visible_end_.clear();
  output_rows_.clear();
  sequences_.clear();
  soft_rows_.clear();
}

int64_t StepBatch::Add(absl::Span<const int32_t> ids, int64_t first_position,
                       const BlockTable& table, int64_t outputs) {
  const int64_t first_row = rows();
  const int64_t count = static_cast<int64_t>(ids.size());
  CHECK(first_position + count <= table.num_tokens() && outputs <= count);
  AddSequence(count, first_position, table);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t id = ids[static_cast<size_t>(i)];
    token_ids_.push_back(tokens_.IsSoft(id) ? tokens_.pad : id);
    sliding_visible_end_.push_back(first_position + i + 1);
    full_visible_end_.push_back(first_position + i + 1);
    if (i >= count - outputs) output_rows_.push_back(static_cast<int32_t>(first_row + i));
  }
  return first_row;
}

void StepBatch::AddDraft(int32_t id, int64_t verified, const BlockTable& table) {
  AddSequence(1, verified + kDraftPositionBehindVerified, table);
  token_ids_.push_back(id);
  sliding_visible_end_.push_back(verified);
  full_visible_end_.push_back(verified);
}

void StepBatch::AddSequence(int64_t row_count, int64_t first_position, const BlockTable& table) {
  const PageRun sliding = table.sliding();
  sequences_.push_back({.first_row = rows(),
                        .row_count = row_count,
                        .first_position = first_position,
                        .full_pages = table.full().pages,
                        .sliding_pages = sliding.pages,
                        .sliding_begin = sliding.first_position});
}

void StepBatch::MarkPicture(int64_t first_row, const SoftSpan& span) {
  CHECK(first_row >= 0 && first_row + span.tokens <= rows());
  for (int64_t i = 0; i < span.tokens; ++i) {
    sliding_visible_end_[static_cast<size_t>(first_row + i)] = span.end();
  }
}

void StepBatch::AddSoftRows(int64_t first_row, TensorView embeddings) {
  soft_rows_.push_back({.first_row = first_row, .embeddings = embeddings});
}

Batch StepBatch::batch() const {
  return {.token_ids = token_ids_,
          .sliding_visible_end = sliding_visible_end_,
          .full_visible_end = full_visible_end_,
          .output_rows = output_rows_,
          .sequences = sequences_};
}

}  // namespace cleave
