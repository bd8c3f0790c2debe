// Collects the rows of one engine step from many sequences. Its memory is reused step after step.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/sequence.h"
#include "kernels/kernels.h"
#include "model/transformer.h"
#include "runtime/kv/block_table.h"

namespace cleave {

class StepBatch {
 public:
  // `tokens` as in ModelConfig: soft ids are looked up as the pad id, wherever they stand.
  StepBatch(const ModelTokens& tokens, const BatchLimits& limits);

  void Clear();

  // Adds `ids` at positions [first_position, ...) of one sequence. The table must have room for
  // them and outlive the step. Logits are wanted for the last `outputs` rows. Returns the first
  // row.
  int64_t Add(absl::Span<const int32_t> ids, int64_t first_position, const BlockTable& table,
              int64_t outputs);

  // Adds the row of a draft: the newest token of a sequence of which `verified` positions are in
  // the pages, all of which it sees. It has no slot of its own there.
  void AddDraft(int32_t id, int64_t verified, const BlockTable& table);

  // Marks rows just added, starting at `first_row`, as a picture's: they see each other on sliding
  // layers.
  void MarkPicture(int64_t first_row, const SoftSpan& span);
  // Replaces rows by soft embeddings, which must outlive the step.
  void AddSoftRows(int64_t first_row, TensorView embeddings);

  int64_t rows() const { return static_cast<int64_t>(token_ids_.size()); }
  int64_t outputs() const { return static_cast<int64_t>(output_rows_.size()); }
  bool empty() const { return token_ids_.empty(); }
  // Valid until the next change.
  Batch batch() const;
  absl::Span<const Transformer::SoftRows> soft_rows() const { return soft_rows_; }

 private:
  void AddSequence(int64_t row_count, int64_t first_position, const BlockTable& table);

  ModelTokens tokens_;
  std::vector<int32_t> token_ids_;
  std::vector<int64_t> sliding_visible_end_, full_visible_end_;
  std::vector<int32_t> output_rows_;
  std::vector<BatchSequence> sequences_;
  std::vector<Transformer::SoftRows> soft_rows_;
};

}  // namespace cleave
