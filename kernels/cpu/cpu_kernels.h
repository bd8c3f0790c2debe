// The CPU backend: vector instructions chosen at run time, and threads that share rows or outputs.
// Neither changes a bit of a result (kernels.h, "Company"); the ISA does, and is in the
// fingerprint.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "kernels/cpu/cpu_batch_plan.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/kernels.h"

namespace cleave::cpu {

class CpuKernels final : public Kernels {
 public:
  CpuKernels(Device& device, const Operations& operations, int threads);

  std::string fingerprint() const override;
  int threads() const override { return pool_.threads(); }
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
  // What one thread works with.
  struct Workspace {
    alignas(64) float totals[kBlockRows * kGroupOutputs];  // of a linear layer
    QueryTile tile;
    AttentionPart attended, part;
  };
  // Which queries of which sequence a tile of an attention call has.
  struct TilePlace {
    const CpuBatchPlan::Sequence* sequence;
    int kv_head;
    int64_t first_query;  // among row * heads_per_kv + head
  };

  // Calls run(first, count) for stretches that cover [0, rows), on several threads when the rows
  // together cost more than handing them out.
  void ForRows(int64_t rows, int64_t elements_per_row,
               absl::FunctionRef<void(int64_t first, int64_t count)> run);
  void RunItems(int64_t count, bool is_small, ThreadPool::Work work);
  void LinearBlock(TensorView x, const PackedWeights& weights, const float* bias, TensorView out);

  // The tiles of an attention call, in kv_attention.cc.
  struct AttentionCall;
  TilePlace FindTile(const AttentionCall& call, int64_t index) const;
  void FillTile(const AttentionCall& call, const TilePlace& place, QueryTile& tile) const;
  void AttendPart(const AttentionCall& call, const TilePlace& place, const QueryTile& tile,
                  int64_t first, int64_t end, AttentionPart& part) const;
  void AttendTile(const AttentionCall& call, int64_t index, Workspace& workspace) const;
  void StoreTile(const AttentionCall& call, const TilePlace& place, const QueryTile& tile,
                 AttentionPart& part) const;

  Device& device_;
  std::unique_ptr<Stream> stream_;
  const Operations& operations_;
  ThreadPool pool_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;  // one a thread
  Buffer packed_rows_;                                  // kBlockRows rows of the widest input
};

}  // namespace cleave::cpu
