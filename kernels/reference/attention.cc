#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/element.h"
#include "kernels/reference/reference_kernels.h"

namespace cleave::reference {
namespace {

// The half-open range of positions that a row sees.
struct Visible {
  int64_t begin;
  int64_t end;
};

Visible VisiblePositions(const ReferenceBatchPlan::Row& row, const KvLayerView& kv) {
  if (kv.kind == KvKind::kFull) return {0, row.position + 1};
  return {std::max<int64_t>(0, row.position - kv.window + 1), row.sliding_visible_end};
}

}  // namespace

void ReferenceKernels::StoreKv(const BatchPlan& plan, TensorView k, TensorView v,
                               const KvLayerView& kv) {
  const auto& batch = static_cast<const ReferenceBatchPlan&>(plan);
  const int64_t v_offset = ReferenceBatchPlan::VOffset(kv);
  CHECK(k.rows == batch.rows() && v.rows == batch.rows());
  CHECK(k.cols == int64_t{kv.kv_heads} * kv.head_dim && v.cols == k.cols);
  for (int64_t r = 0; r < batch.rows(); ++r) {
    const ReferenceBatchPlan::Row& row = batch.row(r);
    for (int head = 0; head < kv.kv_heads; ++head) {
      const int64_t at = batch.ElementOffset(row, kv, row.position, head);
      for (int64_t i = 0; i < kv.head_dim; ++i) {
        const int64_t column = int64_t{head} * kv.head_dim + i;
        Store(kv.data, kv.dtype, at + i, Get(k, r, column));
        Store(kv.data, kv.dtype, at + v_offset + i, Get(v, r, column));
      }
    }
  }
}

void ReferenceKernels::ClearKvSlots(const KvLayerView& kv, PageId page, int first_slot) {
  const int64_t layer_bytes = static_cast<int64_t>(page) * kv.page_bytes + kv.layer_offset;
  const int64_t begin = layer_bytes / static_cast<int64_t>(DTypeBytes(kv.dtype));
  for (int64_t plane = 0; plane < int64_t{2} * kv.kv_heads; ++plane) {
    const int64_t slots = begin + plane * kv.page_tokens * kv.head_dim;
    for (int64_t i = int64_t{first_slot} * kv.head_dim; i < int64_t{kv.page_tokens} * kv.head_dim;
         ++i) {
      Store(kv.data, kv.dtype, slots + i, 0.0f);
    }
  }
}

void ReferenceKernels::Attention(const BatchPlan& plan, TensorView q, const KvLayerView& kv,
                                 TensorView out) {
  const auto& batch = static_cast<const ReferenceBatchPlan&>(plan);
  CHECK(q.rows == batch.rows() && out.rows == q.rows && out.cols == q.cols);
  const int64_t query_heads = q.cols / kv.head_dim;
  CHECK(query_heads % kv.kv_heads == 0);
  const int64_t heads_per_kv = query_heads / kv.kv_heads;
  const int64_t v_offset = ReferenceBatchPlan::VOffset(kv);
  std::vector<double> weights;
  for (int64_t r = 0; r < batch.rows(); ++r) {
    const ReferenceBatchPlan::Row& row = batch.row(r);
    const Visible visible = VisiblePositions(row, kv);
    for (int64_t head = 0; head < query_heads; ++head) {
      const int kv_head = static_cast<int>(head / heads_per_kv);
      const int64_t column = head * kv.head_dim;
      weights.clear();
      for (int64_t j = visible.begin; j < visible.end; ++j) {
        const int64_t key = batch.ElementOffset(row, kv, j, kv_head);
        double score = 0;
        for (int64_t i = 0; i < kv.head_dim; ++i) {
          score += double{Get(q, r, column + i)} * Load(kv.data, kv.dtype, key + i);
        }
        weights.push_back(score);
      }
      const double largest = *std::max_element(weights.begin(), weights.end());
      double sum = 0;
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      for (int64_t i = 0; i < kv.head_dim; ++i) {
        double value = 0;
        for (int64_t j = visible.begin; j < visible.end; ++j) {
          const int64_t at = batch.ElementOffset(row, kv, j, kv_head) + v_offset + i;
          value += weights[static_cast<size_t>(j - visible.begin)] * Load(kv.data, kv.dtype, at);
        }
        Set(out, r, column + i, static_cast<float>(value / sum));
      }
    }
  }
}

}  // namespace cleave::reference
