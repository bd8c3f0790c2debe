// Plain loops: what every operation of kernels.h means. Sums of products run in double and are
// rounded once, so that this is the side to believe when a faster backend differs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace cleave::reference {

class ReferenceLinearWeight final : public LinearWeight {
 public:
  ReferenceLinearWeight(Buffer buffer, const HostMatrix& shape)
      : buffer_(std::move(buffer)), dtype_(shape.dtype), rows_(shape.rows), cols_(shape.cols) {}
  int64_t outputs() const override { return rows_; }
  int64_t inputs() const override { return cols_; }
  size_t device_bytes() const override { return buffer_.bytes(); }
  TensorView view() const { return buffer_.View(dtype_, rows_, cols_); }

 private:
  Buffer buffer_;
  DType dtype_;
  int64_t rows_;
  int64_t cols_;
};

// A batch with the spans of pages copied, and each row's sequence and position worked out.
class ReferenceBatchPlan final : public BatchPlan {
 public:
  struct Row {
    size_t sequence;
    int64_t position;
    int64_t sliding_visible_end;
    int64_t full_visible_end;
  };
  struct Pages {
    std::vector<PageId> full;
    std::vector<PageId> sliding;
    int64_t sliding_begin;
  };

  explicit ReferenceBatchPlan(const BatchLimits& limits) : limits_(limits) {}
  int64_t rows() const override { return static_cast<int64_t>(rows_.size()); }
  int64_t outputs() const override { return static_cast<int64_t>(output_rows_.size()); }
  void Fill(const Batch& batch);

  const std::vector<int32_t>& token_ids() const { return token_ids_; }
  const std::vector<int32_t>& output_rows() const { return output_rows_; }
  const Row& row(int64_t r) const { return rows_[static_cast<size_t>(r)]; }

  // Index of position `position`'s first K or V element of head `head` inside the pool, in elements
  // of the pool's dtype.
  int64_t KeyIndex(const Row& row, const KvLayerView& kv, int64_t position, int head) const;
  int64_t ValueIndex(const Row& row, const KvLayerView& kv, int64_t position, int head) const;

 private:
  int64_t LayerBegin(const Row& row, const KvLayerView& kv, int64_t position) const;

  BatchLimits limits_;
  std::vector<int32_t> token_ids_;
  std::vector<int32_t> output_rows_;
  std::vector<Row> rows_;
  std::vector<Pages> pages_;
};

class ReferenceKernels final : public Kernels {
 public:
  explicit ReferenceKernels(Device& device) : device_(device), stream_(device.CreateStream()) {}

  std::string fingerprint() const override { return "reference/1"; }
  int threads() const override { return 1; }
  Device& device() override { return device_; }
  Stream& stream() override { return *stream_; }
  absl::StatusOr<std::unique_ptr<LinearWeight>> LoadLinear(const HostMatrix& source) override;
  absl::StatusOr<std::unique_ptr<BatchPlan>> CreatePlan(const BatchLimits& limits) override;
  void Fill(const Batch& batch, BatchPlan& plan) override;
  void EmbedTokens(const BatchPlan& plan, const LinearWeight& table, float multiplier,
                   TensorView out) override;
  void GatherOutputs(const BatchPlan& plan, TensorView x, TensorView out) override;
  void Convert(TensorView x, TensorView out) override;
  void Linear(TensorView x, const LinearWeight& weight, TensorView bias, TensorView out) override;
  void RmsNorm(TensorView x, TensorView weight, float epsilon, TensorView out) override;
  void LayerNorm(TensorView x, TensorView weight, TensorView bias, float epsilon,
                 TensorView out) override;
  void Rope(const BatchPlan& plan, TensorView inverse_frequency, TensorView x) override;
  void GeluMultiply(TensorView gate, TensorView up, TensorView out) override;
  void Add(TensorView a, TensorView b, TensorView out) override;
  void Scale(TensorView x, float factor, TensorView out) override;
  void Softcap(TensorView x, float cap) override;
  void StoreKv(const BatchPlan& plan, TensorView k, TensorView v, const KvLayerView& kv) override;
  void ClearKvSlots(const KvLayerView& kv, PageId page, int first_slot) override;
  void Attention(const BatchPlan& plan, TensorView q, const KvLayerView& kv,
                 TensorView out) override;
  void AddPositions(TensorView x, TensorView table, TensorView xy, TensorView out) override;

 private:
  Device& device_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace cleave::reference
