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
  if (kv.kind == KvKind::kFull) return {0, row.full_visible_end};
  return {std::max<int64_t>(0, row.position - kv.window + 1), row.sliding_visible_end};
}

// The dimension of a head that element `i` of a stored key is.
int64_t DimensionOfKey(const KvLayerView& kv, int64_t i) {
  const int64_t half = kv.rotated_dims / 2;
  return kv.compact() && i >= half ? kv.head_dim / 2 + i - half : i;
}

bool Rotates(const KvLayerView& kv, int64_t dimension) {
  return dimension % (kv.head_dim / 2) < kv.rotated_dims / 2;
}

// The score of row r's query that begins at `column` with the position whose K and V begin at `key`
// and `value`.
double Score(const TensorView& q, int64_t r, int64_t column, const KvLayerView& kv, int64_t key,
             int64_t value) {
  double score = 0;
  for (int64_t i = 0; i < kv.key_dims(); ++i) {
    score += double{Get(q, r, column + DimensionOfKey(kv, i))} * Load(kv.data, kv.dtype, key + i);
  }
  for (int64_t i = 0; kv.compact() && i < kv.head_dim; ++i) {
    if (Rotates(kv, i)) continue;
    const double scaled = double{Get(q, r, column + i)} * Get(kv.key_scale, 0, i);
    score += scaled * Load(kv.data, kv.dtype, value + i);
  }
  return score;
}

}  // namespace

void ReferenceKernels::StoreKv(const BatchPlan& plan, TensorView k, TensorView v,
                               const KvLayerView& kv) {
  const auto& batch = static_cast<const ReferenceBatchPlan&>(plan);
  CHECK(k.rows == batch.rows() && v.rows == batch.rows());
  CHECK(k.cols == int64_t{kv.kv_heads} * kv.head_dim && v.cols == k.cols);
  for (int64_t r = 0; r < batch.rows(); ++r) {
    const ReferenceBatchPlan::Row& row = batch.row(r);
    for (int head = 0; head < kv.kv_heads; ++head) {
      const int64_t column = int64_t{head} * kv.head_dim;
      const int64_t key = batch.KeyIndex(row, kv, row.position, head);
      for (int64_t i = 0; i < kv.key_dims(); ++i) {
        Store(kv.data, kv.dtype, key + i, Get(k, r, column + DimensionOfKey(kv, i)));
      }
      const int64_t value = batch.ValueIndex(row, kv, row.position, head);
      for (int64_t i = 0; i < kv.head_dim; ++i) {
        Store(kv.data, kv.dtype, value + i, Get(v, r, column + i));
      }
    }
  }
}

void ReferenceKernels::ClearKvSlots(const KvLayerView& kv, PageId page, int first_slot) {
  const int64_t layer_bytes = static_cast<int64_t>(page) * kv.page_bytes + kv.layer_offset;
  const int64_t begin = layer_bytes / static_cast<int64_t>(DTypeBytes(kv.dtype));
  const auto clear = [&](int64_t plane, int64_t dims) {
    for (int64_t i = first_slot * dims; i < kv.page_tokens * dims; ++i) {
      Store(kv.data, kv.dtype, begin + plane + i, 0.0f);
    }
  };
  for (int64_t head = 0; head < kv.kv_heads; ++head) {
    clear(kv.key_begin() + head * kv.page_tokens * kv.key_dims(), kv.key_dims());
    clear(kv.value_begin() + head * kv.page_tokens * kv.head_dim, kv.head_dim);
  }
}

void ReferenceKernels::Attention(const BatchPlan& plan, TensorView q, const KvLayerView& kv,
                                 TensorView out) {
  const auto& batch = static_cast<const ReferenceBatchPlan&>(plan);
  CHECK(q.rows == batch.rows() && out.rows == q.rows && out.cols == q.cols);
  const int64_t query_heads = q.cols / kv.head_dim;
  CHECK(query_heads % kv.kv_heads == 0);
  const int64_t heads_per_kv = query_heads / kv.kv_heads;
  std::vector<double> weights;
  for (int64_t r = 0; r < batch.rows(); ++r) {
    const ReferenceBatchPlan::Row& row = batch.row(r);
    const Visible visible = VisiblePositions(row, kv);
    for (int64_t head = 0; head < query_heads; ++head) {
      const int kv_head = static_cast<int>(head / heads_per_kv);
      const int64_t column = head * kv.head_dim;
      weights.clear();
      for (int64_t j = visible.begin; j < visible.end; ++j) {
        weights.push_back(Score(q, r, column, kv, batch.KeyIndex(row, kv, j, kv_head),
                                batch.ValueIndex(row, kv, j, kv_head)));
      }
      const double largest = *std::max_element(weights.begin(), weights.end());
      double sum = 0;
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      for (int64_t i = 0; i < kv.head_dim; ++i) {
        double value = 0;
        for (int64_t j = visible.begin; j < visible.end; ++j) {
          const int64_t at = batch.ValueIndex(row, kv, j, kv_head) + i;
          value += weights[static_cast<size_t>(j - visible.begin)] * Load(kv.data, kv.dtype, at);
        }
        Set(out, r, column + i, static_cast<float>(value / sum));
      }
    }
  }
}

}  // namespace cleave::reference
