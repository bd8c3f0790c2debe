#include "kernels/reference/reference_kernels.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/reference/element.h"
#include "runtime/base/status.h"

namespace cleave::reference {

absl::StatusOr<std::unique_ptr<LinearWeight>> ReferenceKernels::LoadLinear(
    const HostMatrix& source) {
  if (source.dtype != DType::kFloat32 && source.dtype != DType::kBFloat16) {
    return absl::InvalidArgumentError(
        absl::StrCat("a weight matrix is ", DTypeName(source.dtype), ", not float32 or bfloat16"));
  }
  const size_t bytes = static_cast<size_t>(source.rows * source.cols) * DTypeBytes(source.dtype);
  ASSIGN_OR_RETURN(Buffer buffer, device_.Allocate(bytes));
  stream_->CopyFromHost(buffer.data(), source.data, bytes);
  stream_->WaitForAll();
  return std::make_unique<ReferenceLinearWeight>(std::move(buffer), source);
}

absl::StatusOr<std::unique_ptr<BatchPlan>> ReferenceKernels::CreatePlan(const BatchLimits& limits) {
  return std::make_unique<ReferenceBatchPlan>(limits);
}

void ReferenceKernels::Fill(const Batch& batch, BatchPlan& plan) {
  static_cast<ReferenceBatchPlan&>(plan).Fill(batch);
}

void ReferenceBatchPlan::Fill(const Batch& batch) {
  CHECK(batch.rows() <= limits_.rows);
  CHECK(static_cast<int64_t>(batch.output_rows.size()) <= limits_.outputs);
  CHECK(static_cast<int64_t>(batch.sequences.size()) <= limits_.sequences);
  token_ids_.assign(batch.token_ids.begin(), batch.token_ids.end());
  output_rows_.assign(batch.output_rows.begin(), batch.output_rows.end());
  rows_.clear();
  pages_.clear();
  for (const BatchSequence& sequence : batch.sequences) {
    CHECK(sequence.first_row == rows());
    for (int64_t i = 0; i < sequence.row_count; ++i) {
      const auto r = static_cast<size_t>(rows());
      const int64_t position = sequence.first_position + i;
      rows_.push_back({.sequence = pages_.size(),
                       .position = position,
                       .sliding_visible_end = batch.sliding_visible_end[r],
                       .full_visible_end = batch.full_visible_end.empty()
                                               ? position + 1
                                               : batch.full_visible_end[r]});
    }
    pages_.push_back({.full = {sequence.full_pages.begin(), sequence.full_pages.end()},
                      .sliding = {sequence.sliding_pages.begin(), sequence.sliding_pages.end()},
                      .sliding_begin = sequence.sliding_begin});
  }
  CHECK(rows() == batch.rows());
}

int64_t ReferenceBatchPlan::LayerBegin(const Row& row, const KvLayerView& kv,
                                       int64_t position) const {
  const Pages& pages = pages_[row.sequence];
  const bool full = kv.kind == KvKind::kFull;
  const int64_t begin = full ? 0 : pages.sliding_begin;
  const std::vector<PageId>& table = full ? pages.full : pages.sliding;
  CHECK(position >= begin);
  const size_t ordinal = static_cast<size_t>((position - begin) / kv.page_tokens);
  CHECK(ordinal < table.size());
  const int64_t page = static_cast<int64_t>(table[ordinal]);
  return (page * kv.page_bytes + kv.layer_offset) / static_cast<int64_t>(DTypeBytes(kv.dtype));
}

int64_t ReferenceBatchPlan::KeyIndex(const Row& row, const KvLayerView& kv, int64_t position,
                                     int head) const {
  const int64_t slot = int64_t{head} * kv.page_tokens + position % kv.page_tokens;
  return LayerBegin(row, kv, position) + kv.key_begin() + slot * kv.key_dims();
}

int64_t ReferenceBatchPlan::ValueIndex(const Row& row, const KvLayerView& kv, int64_t position,
                                       int head) const {
  const int64_t slot = int64_t{head} * kv.page_tokens + position % kv.page_tokens;
  return LayerBegin(row, kv, position) + kv.value_begin() + slot * kv.head_dim;
}

}  // namespace cleave::reference
