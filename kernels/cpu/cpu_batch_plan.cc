#include "kernels/cpu/cpu_batch_plan.h"

#include <cmath>

#include "kernels/cpu/operations.h"
#include "runtime/base/bfloat16.h"

namespace cleave::cpu {

CpuBatchPlan::CpuBatchPlan(const BatchLimits& limits) : limits_(limits) {
  const auto rows = static_cast<size_t>(limits.rows);
  token_ids_.reserve(rows);
  rows_.reserve(rows);
  output_rows_.reserve(static_cast<size_t>(limits.outputs));
  sequences_.reserve(static_cast<size_t>(limits.sequences));
  pages_.reserve(static_cast<size_t>(limits.pages));
  for (RotationTable& table : rotations_) {
    table.cosine.resize(rows * kHeadDimMax / 2);
    table.sine.resize(rows * kHeadDimMax / 2);
  }
}

void CpuBatchPlan::Fill(const Batch& batch) {
  CHECK(batch.rows() <= limits_.rows);
  CHECK(static_cast<int64_t>(batch.output_rows.size()) <= limits_.outputs);
  CHECK(static_cast<int64_t>(batch.sequences.size()) <= limits_.sequences);
  token_ids_.assign(batch.token_ids.begin(), batch.token_ids.end());
  output_rows_.assign(batch.output_rows.begin(), batch.output_rows.end());
  rows_.clear();
  sequences_.clear();
  pages_.clear();
  for (const BatchSequence& sequence : batch.sequences) {
    CHECK(sequence.first_row == rows());
    for (int64_t i = 0; i < sequence.row_count; ++i) {
      const auto r = static_cast<size_t>(rows());
      const int64_t position = sequence.first_position + i;
      rows_.push_back({.position = position,
                       .sliding_visible_end = batch.sliding_visible_end[r],
                       .full_visible_end = batch.full_visible_end.empty()
                                               ? position + 1
                                               : batch.full_visible_end[r]});
    }
    sequences_.push_back({.first_row = sequence.first_row,
                          .row_count = sequence.row_count,
                          .full = AddPages(sequence.full_pages, 0),
                          .sliding = AddPages(sequence.sliding_pages, sequence.sliding_begin)});
  }
  CHECK(rows() == batch.rows());
  CHECK(static_cast<int64_t>(pages_.size()) <= limits_.pages);
  for (RotationTable& table : rotations_) table.frequencies = nullptr;
}

CpuBatchPlan::PageTable CpuBatchPlan::AddPages(absl::Span<const PageId> pages,
                                               int64_t first_position) {
  const PageTable table{.first_entry = static_cast<int64_t>(pages_.size()),
                        .entries = static_cast<int64_t>(pages.size()),
                        .first_position = first_position};
  pages_.insert(pages_.end(), pages.begin(), pages.end());
  return table;
}

char* CpuBatchPlan::LayerBytes(const Sequence& sequence, const KvLayerView& kv,
                               int64_t position) const {
  const PageTable& table = kv.kind == KvKind::kFull ? sequence.full : sequence.sliding;
  CHECK(position >= table.first_position);
  const int64_t entry = (position - table.first_position) / kv.page_tokens;
  CHECK(entry < table.entries);
  const PageId page = pages_[static_cast<size_t>(table.first_entry + entry)];
  return static_cast<char*>(kv.data) + static_cast<int64_t>(page) * kv.page_bytes + kv.layer_offset;
}

CpuBatchPlan::Rotation CpuBatchPlan::RotationFor(const TensorView& inverse_frequency,
                                                 DType dtype) const {
  const void* source = inverse_frequency.data;
  CHECK(source != nullptr);  // null marks a stale table
  RotationTable* table = &rotations_[0];
  if (table->frequencies != nullptr && table->frequencies != source) table = &rotations_[1];
  if (table->frequencies == source && table->dtype == dtype) {
    return {table->cosine.data(), table->sine.data()};
  }
  const auto half = static_cast<size_t>(inverse_frequency.cols);
  CHECK(half <= kHeadDimMax / 2);
  const auto* frequencies = static_cast<const float*>(source);
  const auto rounded = [&](double value) {
    const float narrow = static_cast<float>(value);
    return dtype == DType::kBFloat16 ? RoundToBFloat16(narrow) : narrow;
  };
  for (size_t r = 0; r < rows_.size(); ++r) {
    const float position = static_cast<float>(rows_[r].position);
    for (size_t i = 0; i < half; ++i) {
      // The angle is a float product; its cosine and sine are those of that float.
      const double angle = position * frequencies[i];
      table->cosine[r * half + i] = rounded(std::cos(angle));
      table->sine[r * half + i] = rounded(std::sin(angle));
    }
  }
  table->frequencies = source;
  table->dtype = dtype;
  return {table->cosine.data(), table->sine.data()};
}

}  // namespace cleave::cpu
