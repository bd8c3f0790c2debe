// A step's index data for the CPU backend.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace cleave::cpu {

class CpuBatchPlan final : public BatchPlan {
 public:
  struct PageTable {
    int64_t first_entry = 0;  // of this sequence among those of all
    int64_t entries = 0;
    int64_t first_position = 0;  // of its first page
  };
  struct Sequence {
    int64_t first_row = 0;
    int64_t row_count = 0;
    PageTable full, sliding;
  };
  struct Row {
    int64_t position;
    int64_t sliding_visible_end;
    int64_t full_visible_end;
  };

  explicit CpuBatchPlan(const BatchLimits& limits);
  int64_t rows() const override { return static_cast<int64_t>(rows_.size()); }
  int64_t outputs() const override { return static_cast<int64_t>(output_rows_.size()); }
  void Fill(const Batch& batch);

  int32_t token_id(int64_t row) const { return token_ids_[static_cast<size_t>(row)]; }
  int32_t output_row(int64_t index) const { return output_rows_[static_cast<size_t>(index)]; }
  const Row& row(int64_t r) const { return rows_[static_cast<size_t>(r)]; }
  absl::Span<const Sequence> sequences() const { return sequences_; }

  // Bytes of the layer's part of the page that holds `position` of `sequence`.
  char* LayerBytes(const Sequence& sequence, const KvLayerView& kv, int64_t position) const;

  // cos and sin of every row's angles for one table of frequencies, [rows, half] each, rounded to a
  // dtype. Computed by the first call of a step and kept for the others.
  struct Rotation {
    const float* cosine;
    const float* sine;
  };
  Rotation RotationFor(const TensorView& inverse_frequency, DType dtype) const;

 private:
  PageTable AddPages(absl::Span<const PageId> pages, int64_t first_position);

  // Of one table of frequencies; a model has two.
  struct RotationTable {
    const void* frequencies = nullptr;  // whose, or null when stale
    DType dtype = DType::kFloat32;
    std::vector<float> cosine, sine;  // rows_max * kHeadDimMax / 2
  };

  BatchLimits limits_;
  std::vector<int32_t> token_ids_;
  std::vector<int32_t> output_rows_;
  std::vector<Row> rows_;
  std::vector<Sequence> sequences_;
  std::vector<PageId> pages_;
  mutable RotationTable rotations_[2];
};

}  // namespace cleave::cpu
