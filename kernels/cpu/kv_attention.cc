// Writing K and V to pages, and attention over them. Work is cut into tiles of up to 16 queries
// that read the same KV head of one sequence, each for one thread. A long sequence is cut into
// parts of 2048 positions, which are attended to one after the other and merged in order.
#include <algorithm>
#include <limits>

#include "kernels/cpu/cpu_kernels.h"

namespace cleave::cpu {

static_assert(kHeadDimMax == cleave::kHeadDimMax);

struct CpuKernels::AttentionCall {
  const CpuBatchPlan& plan;
  const TensorView& q;
  const KvLayerView& kv;
  const TensorView& out;
  int64_t heads_per_kv;

  int64_t TilesOf(const CpuBatchPlan::Sequence& sequence) const {
    const int64_t queries = sequence.row_count * heads_per_kv;
    return (queries + kTileQueries - 1) / kTileQueries;
  }
};

namespace {

char* KvElement(char* layer, const KvLayerView& kv, int64_t begin, int head, int64_t position,
                int dims) {
  const int64_t slot = int64_t{head} * kv.page_tokens + position % kv.page_tokens;
  return layer + (begin + slot * dims) * static_cast<int64_t>(DTypeBytes(kv.dtype));
}

TensorView RowAt(void* data, DType dtype, int64_t cols) {
  return {.data = data, .dtype = dtype, .device = {}, .rows = 1, .cols = cols, .row_stride = cols};
}

void SetSegments(const KvLayerView& kv, QueryTile& tile) {
  if (!kv.compact()) {
    tile.num_segments = 1;
    tile.segments[0] = {.of_value = false, .first = 0, .length = kv.head_dim};
    return;
  }
  const int half = kv.head_dim / 2, rotated = kv.rotated_dims / 2;
  tile.num_segments = 3;
  tile.segments[0] = {.of_value = true, .first = rotated, .length = half - rotated};
  tile.segments[1] = {.of_value = true, .first = half + rotated, .length = half - rotated};
  tile.segments[2] = {.of_value = false, .first = 0, .length = kv.rotated_dims};
}

// The query in the order of the segments; where V stands in for K, times K's norm weight.
void ArrangeQuery(const KvLayerView& kv, const float* query, float* out) {
  if (!kv.compact()) {
    std::copy_n(query, kv.head_dim, out);
    return;
  }
  const auto* scale = static_cast<const float*>(kv.key_scale.data);
  const int half = kv.head_dim / 2, rotated = kv.rotated_dims / 2;
  for (const int begin : {0, half}) {
    for (int i = begin + rotated; i < begin + half; ++i) *out++ = query[i] * scale[i];
  }
  for (const int begin : {0, half}) out = std::copy_n(query + begin, rotated, out);
}

void Clear(AttentionPart& part) {
  std::fill_n(part.largest, kTileQueries, -std::numeric_limits<float>::infinity());
  std::fill_n(part.sum, kTileQueries, 0.0f);
  std::fill_n(&part.out[0][0], kTileQueries * kHeadDimMax, 0.0f);
}

struct PositionRange {
  int64_t begin;
  int64_t end;
};

PositionRange Seen(const QueryTile& tile) {
  return {*std::min_element(tile.begin, tile.begin + tile.count),
          *std::max_element(tile.end, tile.end + tile.count)};
}

}  // namespace

void CpuKernels::StoreKv(const BatchPlan& plan, TensorView k, TensorView v, const KvLayerView& kv) {
  const auto& batch = static_cast<const CpuBatchPlan&>(plan);
  CHECK(k.rows == batch.rows() && v.rows == batch.rows());
  CHECK(k.cols == int64_t{kv.kv_heads} * kv.head_dim && v.cols == k.cols);
  const int half = kv.head_dim / 2, rotated = kv.rotated_dims / 2;
  const auto element_bytes = static_cast<int64_t>(DTypeBytes(kv.dtype));
  for (const CpuBatchPlan::Sequence& sequence : batch.sequences()) {
    ForRows(sequence.row_count, 2 * k.cols, [&](int64_t begin, int64_t count) {
      for (int64_t r = sequence.first_row + begin; r < sequence.first_row + begin + count; ++r) {
        const int64_t position = batch.row(r).position;
        char* layer = batch.LayerBytes(sequence, kv, position);
        for (int head = 0; head < kv.kv_heads; ++head) {
          const int64_t column = int64_t{head} * kv.head_dim;
          char* key = KvElement(layer, kv, kv.key_begin(), head, position, kv.key_dims());
          if (kv.compact()) {
            operations_.convert(k.Rows(r, 1).Columns(column, rotated),
                                RowAt(key, kv.dtype, rotated));
            operations_.convert(k.Rows(r, 1).Columns(column + half, rotated),
                                RowAt(key + rotated * element_bytes, kv.dtype, rotated));
          } else {
            operations_.convert(k.Rows(r, 1).Columns(column, kv.head_dim),
                                RowAt(key, kv.dtype, kv.head_dim));
          }
          char* value = KvElement(layer, kv, kv.value_begin(), head, position, kv.head_dim);
          operations_.convert(v.Rows(r, 1).Columns(column, kv.head_dim),
                              RowAt(value, kv.dtype, kv.head_dim));
        }
      }
    });
  }
}

void CpuKernels::ClearKvSlots(const KvLayerView& kv, PageId page, int first_slot) {
  char* layer =
      static_cast<char*>(kv.data) + static_cast<int64_t>(page) * kv.page_bytes + kv.layer_offset;
  const auto clear = [&](int64_t begin, int head, int dims) {
    char* first = KvElement(layer, kv, begin, head, first_slot, dims);
    const int64_t elements = int64_t{kv.page_tokens - first_slot} * dims;
    std::fill_n(first, elements * static_cast<int64_t>(DTypeBytes(kv.dtype)), char{0});
  };
  if (first_slot == kv.page_tokens) return;
  for (int head = 0; head < kv.kv_heads; ++head) {
    clear(kv.key_begin(), head, kv.key_dims());
    clear(kv.value_begin(), head, kv.head_dim);
  }
}

void CpuKernels::Attention(const BatchPlan& plan, TensorView q, const KvLayerView& kv,
                           TensorView out) {
  const auto& batch = static_cast<const CpuBatchPlan&>(plan);
  CHECK(q.rows == batch.rows() && out.rows == q.rows && out.cols == q.cols);
  CHECK(kv.head_dim <= kHeadDimMax && q.cols % (int64_t{kv.head_dim} * kv.kv_heads) == 0);
  const AttentionCall call{.plan = batch,
                           .q = q,
                           .kv = kv,
                           .out = out,
                           .heads_per_kv = q.cols / kv.head_dim / kv.kv_heads};
  int64_t tiles = 0, positions = 0;
  for (const CpuBatchPlan::Sequence& sequence : batch.sequences()) {
    tiles += call.TilesOf(sequence) * kv.kv_heads;
    const CpuBatchPlan::Row& last = batch.row(sequence.first_row + sequence.row_count - 1);
    positions += sequence.row_count * last.full_visible_end;
  }
  constexpr int64_t kSmallAttention = 64;
  RunItems(tiles, positions < kSmallAttention, [&](int64_t index, int thread) {
    AttendTile(call, index, *workspaces_[static_cast<size_t>(thread)]);
  });
}

CpuKernels::TilePlace CpuKernels::FindTile(const AttentionCall& call, int64_t index) const {
  for (const CpuBatchPlan::Sequence& sequence : call.plan.sequences()) {
    const int64_t of_head = call.TilesOf(sequence);
    const int64_t tiles = of_head * call.kv.kv_heads;
    if (index < tiles) {
      return {&sequence, static_cast<int>(index / of_head), index % of_head * kTileQueries};
    }
    index -= tiles;
  }
  CHECK(false);
}

void CpuKernels::FillTile(const AttentionCall& call, const TilePlace& place,
                          QueryTile& tile) const {
  const KvLayerView& kv = call.kv;
  const int64_t queries = place.sequence->row_count * call.heads_per_kv;
  tile.count = static_cast<int>(std::min<int64_t>(kTileQueries, queries - place.first_query));
  tile.head_dim = kv.head_dim;
  SetSegments(kv, tile);
  for (int i = 0; i < tile.count; ++i) {
    const int64_t query = place.first_query + i;
    const int64_t r = place.sequence->first_row + query / call.heads_per_kv;
    const int64_t head = place.kv_head * call.heads_per_kv + query % call.heads_per_kv;
    float widened[kHeadDimMax];
    operations_.convert(call.q.Rows(r, 1).Columns(head * kv.head_dim, kv.head_dim),
                        RowAt(widened, DType::kFloat32, kv.head_dim));
    ArrangeQuery(kv, widened, tile.queries[i]);
    const CpuBatchPlan::Row& row = call.plan.row(r);
    const bool full = kv.kind == KvKind::kFull;
    tile.begin[i] = full ? 0 : std::max<int64_t>(0, row.position - kv.window + 1);
    tile.end[i] = full ? row.full_visible_end : row.sliding_visible_end;
  }
}

void CpuKernels::AttendPart(const AttentionCall& call, const TilePlace& place,
                            const QueryTile& tile, int64_t first, int64_t end,
                            AttentionPart& part) const {
  const KvLayerView& kv = call.kv;
  KeyBlock block;
  while (first < end) {
    block.first = first;
    block.end = std::min(end, (first / kBlockPositions + 1) * kBlockPositions);
    for (int64_t position = block.first; position < block.end; ++position) {
      char* layer = call.plan.LayerBytes(*place.sequence, kv, position);
      const int64_t offset = position % kBlockPositions;
      block.keys[offset] =
          KvElement(layer, kv, kv.key_begin(), place.kv_head, position, kv.key_dims());
      block.values[offset] =
          KvElement(layer, kv, kv.value_begin(), place.kv_head, position, kv.head_dim);
    }
    operations_.attend(tile, block, kv.dtype, part);
    first = block.end;
  }
}

void CpuKernels::AttendTile(const AttentionCall& call, int64_t index, Workspace& workspace) const {
  const TilePlace place = FindTile(call, index);
  QueryTile& tile = workspace.tile;
  FillTile(call, place, tile);
  const PositionRange seen = Seen(tile);
  Clear(workspace.attended);
  if (call.kv.kind == KvKind::kSliding) {
    AttendPart(call, place, tile, seen.begin, seen.end, workspace.attended);
  } else {
    AttendPart(call, place, tile, 0, std::min(kPartPositions, seen.end), workspace.attended);
    for (int64_t first = kPartPositions; first < seen.end; first += kPartPositions) {
      Clear(workspace.part);
      AttendPart(call, place, tile, first, std::min(first + kPartPositions, seen.end),
                 workspace.part);
      operations_.merge(tile, workspace.part, workspace.attended);
    }
  }
  StoreTile(call, place, tile, workspace.attended);
}

void CpuKernels::StoreTile(const AttentionCall& call, const TilePlace& place, const QueryTile& tile,
                           AttentionPart& part) const {
  operations_.finish(tile, part);
  for (int i = 0; i < tile.count; ++i) {
    const int64_t query = place.first_query + i;
    const int64_t r = place.sequence->first_row + query / call.heads_per_kv;
    const int64_t head = place.kv_head * call.heads_per_kv + query % call.heads_per_kv;
    operations_.convert(RowAt(part.out[i], DType::kFloat32, tile.head_dim),
                        call.out.Rows(r, 1).Columns(head * tile.head_dim, tile.head_dim));
  }
}

}  // namespace cleave::cpu
