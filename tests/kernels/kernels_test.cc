// What kernels.h promises, on the reference backend: bits that do not depend on company, and masked
// memory that never reaches a result.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace cleave {
namespace {

constexpr int kHeads = 4, kKvHeads = 2, kDim = 8, kPageTokens = 8, kPages = 16, kWindow = 12;

class KernelsTest : public ::testing::Test {
 protected:
  KernelsTest() : device_(CreateHostDevice()), kernels_(CreateReferenceKernels(*device_)) {}

  TensorView Random(int64_t rows, int64_t cols, uint64_t seed) {
    buffers_.push_back(*device_->Allocate(static_cast<size_t>(rows * cols) * sizeof(float)));
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    auto* values = static_cast<float*>(buffers_.back().data());
    for (int64_t i = 0; i < rows * cols; ++i) values[i] = normal(random);
    return buffers_.back().View(DType::kFloat32, rows, cols);
  }
  TensorView Zeros(int64_t rows, int64_t cols) {
    buffers_.push_back(*device_->Allocate(static_cast<size_t>(rows * cols) * sizeof(float)));
    return buffers_.back().View(DType::kFloat32, rows, cols);
  }
  static std::vector<float> Values(const TensorView& view) {
    std::vector<float> out;
    for (int64_t r = 0; r < view.rows; ++r) {
      const auto* row = static_cast<const float*>(view.data) + r * view.row_stride;
      out.insert(out.end(), row, row + view.cols);
    }
    return out;
  }

  // A pool full of NaN.
  KvLayerView Pool(KvKind kind) {
    const int64_t page_bytes = int64_t{2} * kKvHeads * kPageTokens * kDim * 4;
    buffers_.push_back(*device_->Allocate(static_cast<size_t>(page_bytes * kPages)));
    std::memset(buffers_.back().data(), 0xff, buffers_.back().bytes());
    return {.data = buffers_.back().data(),
            .device = device_->id(),
            .dtype = DType::kFloat32,
            .kind = kind,
            .page_bytes = page_bytes,
            .layer_offset = 0,
            .kv_heads = kKvHeads,
            .head_dim = kDim,
            .page_tokens = kPageTokens,
            .window = kind == KvKind::kSliding ? kWindow : 0};
  }

  // Consecutive positions of sequences, one range each.
  struct Range {
    int64_t first;
    int64_t count;
    std::vector<PageId> pages;
  };
  std::unique_ptr<BatchPlan> Plan(const std::vector<Range>& ranges) {
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
    auto plan = *kernels_->CreatePlan({.rows = rows, .outputs = 0, .sequences = 8, .pages = 64});
    kernels_->Fill({.token_ids = ids, .sliding_visible_end = visible_end, .sequences = sequences},
                   *plan);
    return plan;
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> kernels_;
  std::vector<Buffer> buffers_;
};

TEST_F(KernelsTest, ALinearRowDoesNotDependOnItsNeighbours) {
  const TensorView x = Random(9, 37, 1);
  const TensorView w = Random(21, 37, 2);
  const auto weight = *kernels_->LoadLinear(
      {.data = w.data, .dtype = DType::kFloat32, .rows = w.rows, .cols = w.cols});
  const TensorView together = Zeros(9, 21), alone = Zeros(9, 21);
  kernels_->Linear(x, *weight, {}, together);
  for (int64_t r = 0; r < 9; ++r) kernels_->Linear(x.Rows(r, 1), *weight, {}, alone.Rows(r, 1));
  EXPECT_EQ(Values(together), Values(alone));
}

// Any cut into chunks, alone or beside a stranger, gives the same bits; and pages full of NaN
// around the sequence show whoever reads what is masked.
TEST_F(KernelsTest, AttentionDoesNotDependOnChunksOrCompany) {
  constexpr int64_t kPositions = 29;
  const std::vector<PageId> mine{PageId{3}, PageId{9}, PageId{1}, PageId{6}};
  const std::vector<PageId> other{PageId{0}, PageId{15}, PageId{4}, PageId{8}};
  const TensorView q = Random(kPositions, kHeads * kDim, 3);
  const TensorView k = Random(kPositions, kKvHeads * kDim, 4);
  const TensorView v = Random(kPositions, kKvHeads * kDim, 5);
  for (const KvKind kind : {KvKind::kSliding, KvKind::kFull}) {
    const KvLayerView whole_pool = Pool(kind);
    const TensorView whole = Zeros(kPositions, kHeads * kDim);
    const auto plan = Plan({{0, kPositions, mine}});
    kernels_->StoreKv(*plan, k, v, whole_pool);
    kernels_->Attention(*plan, q, whole_pool, whole);
    for (const float value : Values(whole)) ASSERT_FALSE(std::isnan(value));
    for (const int64_t chunk : {1, 3, 8, 13}) {
      const KvLayerView pool = Pool(kind);
      const TensorView cut = Zeros(kPositions, kHeads * kDim);
      for (int64_t begin = 0; begin < kPositions; begin += chunk) {
        const int64_t count = std::min(chunk, kPositions - begin);
        // The stranger's rows come first, so that ours are not at row 0.
        const auto step = Plan({{0, 2, other}, {begin, count, mine}});
        const TensorView q_step = Random(2 + count, kHeads * kDim, 6);
        const TensorView k_step = Random(2 + count, kKvHeads * kDim, 7);
        const TensorView v_step = Random(2 + count, kKvHeads * kDim, 8);
        const TensorView out = Zeros(2 + count, kHeads * kDim);
        kernels_->Convert(q.Rows(begin, count), q_step.Rows(2, count));
        kernels_->Convert(k.Rows(begin, count), k_step.Rows(2, count));
        kernels_->Convert(v.Rows(begin, count), v_step.Rows(2, count));
        kernels_->StoreKv(*step, k_step, v_step, pool);
        kernels_->Attention(*step, q_step, pool, out);
        kernels_->Convert(out.Rows(2, count), cut.Rows(begin, count));
      }
      EXPECT_EQ(Values(whole), Values(cut)) << "chunk " << chunk;
    }
  }
}

TEST_F(KernelsTest, ASlidingQuerySeesExactlyItsWindow) {
  constexpr int64_t kPositions = 25;
  const std::vector<PageId> pages{PageId{0}, PageId{1}, PageId{2}, PageId{3}};
  const KvLayerView pool = Pool(KvKind::kSliding);
  const TensorView q = Zeros(kPositions, kHeads * kDim);  // equal scores: the mean of what is seen
  const TensorView k = Random(kPositions, kKvHeads * kDim, 1);
  const TensorView v = Zeros(kPositions, kKvHeads * kDim);
  for (int64_t r = 0; r < kPositions; ++r) {
    auto* row = static_cast<float*>(v.Rows(r, 1).data);
    for (int64_t c = 0; c < v.cols; ++c) row[c] = static_cast<float>(r);
  }
  const TensorView out = Zeros(kPositions, kHeads * kDim);
  const auto plan = Plan({{0, kPositions, pages}});
  kernels_->StoreKv(*plan, k, v, pool);
  kernels_->Attention(*plan, q, pool, out);
  for (int64_t r = 0; r < kPositions; ++r) {
    const int64_t oldest = std::max<int64_t>(0, r - kWindow + 1);
    EXPECT_FLOAT_EQ(static_cast<const float*>(out.Rows(r, 1).data)[0],
                    static_cast<float>(oldest + r) / 2)
        << r;
  }
}

TEST_F(KernelsTest, ClearedSlotsAreZeroAndTheOthersStay) {
  const KvLayerView pool = Pool(KvKind::kFull);
  const auto plan = Plan({{0, 5, {PageId{2}}}});
  const TensorView k = Random(5, kKvHeads * kDim, 1), v = Random(5, kKvHeads * kDim, 2);
  kernels_->StoreKv(*plan, k, v, pool);
  kernels_->ClearKvSlots(pool, PageId{2}, 5);
  const auto* page = static_cast<const float*>(pool.data) + 2 * pool.page_bytes / 4;
  for (int64_t plane = 0; plane < 2 * kKvHeads; ++plane) {
    for (int64_t slot = 0; slot < kPageTokens; ++slot) {
      const float value = page[(plane * kPageTokens + slot) * kDim];
      EXPECT_EQ(value == 0.0f, slot >= 5) << plane << " " << slot;
      EXPECT_FALSE(std::isnan(value));
    }
  }
}

}  // namespace
}  // namespace cleave
