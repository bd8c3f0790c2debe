// Attention over pages on every backend and ISA of this machine: the results of the reference
// backend; the same bits in any chunks, company, page size and number of threads; and masked memory
// that never reaches a result.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/kernels/kernels_fixture.h"

namespace cleave {
namespace {

using testing::AllBackends;

struct Shape {
  KvKind kind = KvKind::kFull;
  int rotated_dims = 0;  // of the compact form
  DType dtype = DType::kFloat32;
  int heads = 4;
  int kv_heads = 2;
  int head_dim = 32;
  int page_tokens = 8;
  int window = 12;
};

// Consecutive positions of one sequence in a step.
struct Range {
  int64_t first;
  int64_t count;
  std::vector<PageId> pages;
};

class AttentionTest : public testing::KernelsFixture {
 protected:
  // A pool full of NaN.
  KvLayerView Pool(const Shape& shape, int64_t pages) {
    const int key_dims = shape.rotated_dims > 0 ? shape.rotated_dims : shape.head_dim;
    const int64_t page_bytes = int64_t{shape.kv_heads} * shape.page_tokens *
                               (shape.head_dim + key_dims) *
                               static_cast<int64_t>(DTypeBytes(shape.dtype));
    buffers_.push_back(*device_->Allocate(static_cast<size_t>(page_bytes * pages)));
    std::memset(buffers_.back().data(), 0xff, buffers_.back().bytes());
    return {.data = buffers_.back().data(),
            .device = device_->id(),
            .dtype = shape.dtype,
            .kind = shape.kind,
            .page_bytes = page_bytes,
            .layer_offset = 0,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .page_tokens = shape.page_tokens,
            .window = shape.kind == KvKind::kSliding ? shape.window : 0,
            .rotated_dims = shape.rotated_dims,
            .key_scale = Random(1, shape.head_dim, 99)};
  }

  // Pages first, first + 2, ...: two sequences that share a pool, page by page.
  static std::vector<PageId> EveryOtherPage(int first, int64_t count) {
    std::vector<PageId> pages;
    for (int64_t i = count - 1; i >= 0; --i) pages.push_back(PageId(2 * i + first));
    return pages;
  }

  std::unique_ptr<BatchPlan> Plan(Kernels& kernels, const std::vector<Range>& ranges) {
    std::vector<BatchSequence> sequences;
    std::vector<int64_t> visible_end;
    for (const Range& range : ranges) {
      sequences.push_back({.first_row = static_cast<int64_t>(visible_end.size()),
                           .row_count = range.count,
                           .first_position = range.first,
                           .full_pages = range.pages,
                           .sliding_pages = range.pages});
      for (int64_t i = 0; i < range.count; ++i) visible_end.push_back(range.first + i + 1);
    }
    const std::vector<int32_t> ids(visible_end.size(), 0);
    const int64_t rows = static_cast<int64_t>(ids.size());
    auto plan = *kernels.CreatePlan({.rows = rows, .outputs = 0, .sequences = 8, .pages = 4096});
    kernels.Fill({.token_ids = ids, .sliding_visible_end = visible_end, .sequences = sequences},
                 *plan);
    return plan;
  }

  // One sequence of `positions`, computed `chunk` rows at a time, with a stranger of two rows
  // before ours in every step if wanted.
  std::vector<float> Run(Kernels& kernels, const Shape& shape, int64_t positions, int64_t chunk,
                         bool with_stranger) {
    const int64_t query_width = int64_t{shape.heads} * shape.head_dim;
    const int64_t kv_width = int64_t{shape.kv_heads} * shape.head_dim;
    const TensorView q = Random(positions, query_width, 3);
    const TensorView k = Random(positions, kv_width, 4), v = Random(positions, kv_width, 5);
    const int64_t pages = (positions + shape.page_tokens - 1) / shape.page_tokens;
    const KvLayerView pool = Pool(shape, 2 * pages);
    const TensorView out = Zeros(positions, query_width);
    for (int64_t begin = 0; begin < positions; begin += chunk) {
      const int64_t count = std::min(chunk, positions - begin);
      const int64_t before = with_stranger ? 2 : 0;
      std::vector<Range> ranges{{begin, count, EveryOtherPage(1, pages)}};
      if (with_stranger) ranges.insert(ranges.begin(), {0, before, EveryOtherPage(0, pages)});
      const auto plan = Plan(kernels, ranges);
      const auto step = [&](const TensorView& rows, uint64_t seed) {
        const TensorView all = Random(before + count, rows.cols, seed);
        kernels.Convert(rows.Rows(begin, count), all.Rows(before, count));
        return all;
      };
      kernels.StoreKv(*plan, step(k, 7), step(v, 8), pool);
      const TensorView all_out = Zeros(before + count, query_width);
      kernels.Attention(*plan, step(q, 6), pool, all_out);
      kernels.Convert(all_out.Rows(before, count), out.Rows(begin, count));
    }
    return Values(out);
  }

  static std::vector<Shape> Shapes() {
    return {{.kind = KvKind::kSliding},
            {.kind = KvKind::kSliding, .dtype = DType::kBFloat16, .head_dim = 48, .window = 100},
            {.kind = KvKind::kFull},
            {.kind = KvKind::kFull, .rotated_dims = 8},
            {.kind = KvKind::kFull, .rotated_dims = 16, .dtype = DType::kBFloat16, .head_dim = 64},
            {.kind = KvKind::kFull, .rotated_dims = 6, .heads = 9, .kv_heads = 1, .head_dim = 22}};
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, AttentionTest, ::testing::ValuesIn(AllBackends()),
                         ::testing::PrintToStringParamName());

TEST_P(AttentionTest, IsTheReferences) {
  for (const Shape& shape : Shapes()) {
    const std::vector<float> found = Run(*kernels_, shape, 150, 150, false);
    const std::vector<float> expected = Run(*reference_, shape, 150, 150, false);
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], 5e-6) << shape.head_dim << " " << shape.rotated_dims;
    }
  }
}

// Pages full of NaN around the sequence show whoever reads what is masked.
TEST_P(AttentionTest, DoesNotDependOnChunksCompanyPagesOrThreads) {
  constexpr int64_t kPositions = 150;
  const auto two_threads = Create(2), three_threads = Create(3);
  for (Shape shape : Shapes()) {
    const std::vector<float> whole = Run(*kernels_, shape, kPositions, kPositions, false);
    for (const float value : whole) ASSERT_FALSE(std::isnan(value));
    for (const int64_t chunk : {1, 2, 3, 4, 5, 6, 7, 8, 61, 64}) {
      EXPECT_EQ(whole, Run(*kernels_, shape, kPositions, chunk, chunk % 2 == 1)) << chunk;
    }
    EXPECT_EQ(whole, Run(*two_threads, shape, kPositions, 40, true));
    EXPECT_EQ(whole, Run(*three_threads, shape, kPositions, 40, false));
    for (const int page_tokens : {16, 32, 64}) {
      shape.page_tokens = page_tokens;
      EXPECT_EQ(whole, Run(*kernels_, shape, kPositions, 37, true)) << "page " << page_tokens;
    }
  }
}

// More than one part of 2048 positions.
TEST_P(AttentionTest, LongSequencesDoNotDependOnChunks) {
  const Shape shape{
      .rotated_dims = 8, .heads = 2, .kv_heads = 1, .head_dim = 16, .page_tokens = 64};
  const std::vector<float> whole = Run(*kernels_, shape, 2300, 2300, false);
  EXPECT_EQ(whole, Run(*kernels_, shape, 2300, 517, true));
  if (GetParam().name == "reference") return;
  const std::vector<float> expected = Run(*reference_, shape, 2300, 2300, false);
  for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(whole[i], expected[i], 2e-5);
}

TEST_P(AttentionTest, ASlidingQuerySeesExactlyItsWindow) {
  constexpr int64_t kPositions = 25;
  const Shape shape{.kind = KvKind::kSliding};
  const KvLayerView pool = Pool(shape, 4);
  const int64_t kv_width = int64_t{shape.kv_heads} * shape.head_dim;
  // Equal scores: the mean of what is seen.
  const TensorView q = Zeros(kPositions, int64_t{shape.heads} * shape.head_dim);
  const TensorView v = Zeros(kPositions, kv_width);
  for (int64_t r = 0; r < kPositions; ++r) {
    std::fill_n(static_cast<float*>(v.Rows(r, 1).data), kv_width, static_cast<float>(r));
  }
  const TensorView out = Copy(q);
  const auto plan =
      Plan(*kernels_, {{0, kPositions, {PageId{0}, PageId{1}, PageId{2}, PageId{3}}}});
  kernels_->StoreKv(*plan, Random(kPositions, kv_width, 1), v, pool);
  kernels_->Attention(*plan, q, pool, out);
  for (int64_t r = 0; r < kPositions; ++r) {
    const int64_t oldest = std::max<int64_t>(0, r - shape.window + 1);
    EXPECT_FLOAT_EQ(At(out, r, 0), static_cast<float>(oldest + r) / 2) << r;
  }
}

// As the drafter does: a row that does not see its own position, but those before it.
TEST_P(AttentionTest, ARowMaySeeLessThanItsOwnPosition) {
  const Shape shape;
  const KvLayerView pool = Pool(shape, 1);
  const int64_t kv_width = int64_t{shape.kv_heads} * shape.head_dim;
  const std::vector<PageId> pages{PageId{0}};
  kernels_->StoreKv(*Plan(*kernels_, {{0, 5, pages}}), Random(5, kv_width, 1),
                    Random(5, kv_width, 2), pool);
  const std::vector<int32_t> ids{0};
  const std::vector<int64_t> end{5};
  const BatchSequence sequence{.row_count = 1, .first_position = 5, .full_pages = pages};
  const auto plan = *kernels_->CreatePlan({.rows = 1, .outputs = 0, .sequences = 1, .pages = 1});
  kernels_->Fill({.token_ids = ids,
                  .sliding_visible_end = end,
                  .full_visible_end = end,
                  .sequences = absl::MakeConstSpan(&sequence, 1)},
                 *plan);
  const TensorView q = Random(1, int64_t{shape.heads} * shape.head_dim, 3);
  const TensorView out = Copy(q);
  kernels_->Attention(*plan, q, pool, out);
  for (const float value : Values(out)) EXPECT_FALSE(std::isnan(value));
}

TEST_P(AttentionTest, ClearedSlotsAreZeroAndTheOthersStay) {
  for (const int rotated_dims : {0, 8}) {
    const Shape shape{.rotated_dims = rotated_dims};
    const KvLayerView pool = Pool(shape, 3);
    const int64_t kv_width = int64_t{shape.kv_heads} * shape.head_dim;
    const auto plan = Plan(*kernels_, {{0, 5, {PageId{2}}}});
    kernels_->StoreKv(*plan, Random(5, kv_width, 1), Random(5, kv_width, 2), pool);
    kernels_->ClearKvSlots(pool, PageId{2}, 5);
    const auto* page = static_cast<const float*>(pool.data) + 2 * pool.page_bytes / 4;
    for (int head = 0; head < shape.kv_heads; ++head) {
      for (int64_t slot = 0; slot < shape.page_tokens; ++slot) {
        const int64_t row = head * shape.page_tokens + slot;
        const float* key = page + pool.key_begin() + row * pool.key_dims();
        const float* value = page + pool.value_begin() + row * pool.head_dim;
        for (int i = 0; i < pool.key_dims(); ++i) EXPECT_EQ(key[i] == 0.0f, slot >= 5);
        for (int i = 0; i < pool.head_dim; ++i) EXPECT_EQ(value[i] == 0.0f, slot >= 5);
      }
    }
  }
}

}  // namespace
}  // namespace cleave
