// The model's instruction set: every operation that runs on a device, implemented once per backend
// (kernels/reference: plain loops, the specification; kernels/cpu: SIMD and threads; kernels/cuda).
// This page is all that the author of a backend needs.
//
// Contract of every operation
// * Memory. Views name memory of the backend's device and say its dtype; nothing here may be read
//   or written by the host. Index data reaches the device once a step, inside a BatchPlan.
// * Order. Calls only submit work to `stream()`, in order. Results are read by a copy on that
//   stream, after a wait for a point recorded behind it. One thread uses a backend object.
// * Company. An output row depends on its own input row (attention: and on its own sequence's
//   pages) and on nothing else: not on the number of rows, their order, the chunk, or the threads.
//   A sum runs in one fixed order. Whoever breaks this changes the tokens of somebody's request.
// * Rounding. Inputs are widened to float; arithmetic is float or wider; a result is rounded once,
//   to the dtype of the output view. Rope and GeluMultiply state their inner rounding.
// * Aliasing. An output may be the same view as an input where the comment says "in place".
// * Allocation. Weights, plans and workspaces are allocated before serving; operations never
//   allocate device memory. Shapes are the caller's duty and are CHECKed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/device/device.h"
#include "runtime/device/tensor.h"
#include "runtime/kv/page_allocator.h"

namespace cleave {

// A matrix in host memory, row-major without gaps: how weights arrive from the checkpoint.
struct HostMatrix {
  const void* data = nullptr;
  DType dtype = DType::kBFloat16;  // kBFloat16 or kFloat32
  int64_t rows = 0;
  int64_t cols = 0;
};

// A linear layer's [outputs, inputs] matrix, or the token table, on the device in the order the
// backend likes best. Only the backend that made it can read it.
class LinearWeight {
 public:
  virtual ~LinearWeight() = default;
  virtual int64_t outputs() const = 0;
  virtual int64_t inputs() const = 0;
  virtual size_t device_bytes() const = 0;
};

// Widest head that every backend computes.
inline constexpr int kHeadDimMax = 512;

// Which page table a layer reads.
enum class KvKind : uint8_t { kSliding, kFull };

// One layer's K and V in a pool of pages.
//
// A page holds `page_tokens` positions of all layers of its kind. Layer l's part of page p is one
// range of bytes, data + p * page_bytes + layer_offset. The order inside it is the same in every
// backend, because pages travel between workers:
//   plain form    K [kv_heads, page_tokens, head_dim], then V of the same shape
//   compact form  V [kv_heads, page_tokens, head_dim], then K [kv_heads, page_tokens, rotated_dims]
// The compact form is for layers whose K and V come from one projection: K before rotation is V *
// key_scale, so only the dimensions that rotate are stored twice.
struct KvLayerView {
  void* data = nullptr;  // page 0 of the pool
  DeviceId device;
  DType dtype = DType::kBFloat16;  // kBFloat16 or kFloat32
  KvKind kind = KvKind::kFull;
  int64_t page_bytes = 0;
  int64_t layer_offset = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int page_tokens = 0;
  // Keys a query sees at most, itself included: positions q - window + 1 to q. 0: no limit.
  int window = 0;
  // Compact form: dimensions [0, r / 2) and [head_dim / 2, head_dim / 2 + r / 2) of a key rotate
  // and are stored, in this order. 0: the plain form.
  int rotated_dims = 0;
  // Compact form: k_norm's weight [1, head_dim] float32.
  TensorView key_scale;

  bool compact() const { return rotated_dims > 0; }
  int key_dims() const { return compact() ? rotated_dims : head_dim; }  // stored of one key
  // First element of the K of a layer's part of a page, and of its V.
  int64_t key_begin() const { return compact() ? int64_t{kv_heads} * page_tokens * head_dim : 0; }
  int64_t value_begin() const { return compact() ? 0 : int64_t{kv_heads} * page_tokens * head_dim; }
};

// A run of rows of one sequence in a step's batch: consecutive positions.
struct BatchSequence {
  int64_t first_row = 0;
  int64_t row_count = 0;
  int64_t first_position = 0;  // of first_row
  // Pages that hold positions 0, page_tokens, 2 page_tokens, ... of the full layers.
  absl::Span<const PageId> full_pages;
  // The same of the sliding layers, from position sliding_begin (a multiple of page_tokens) on.
  absl::Span<const PageId> sliding_pages;
  int64_t sliding_begin = 0;
};

// What one step computes: ragged rows from many sequences, in host memory.
struct Batch {
  // [rows]. A row whose embedding comes from media has the pad id.
  absl::Span<const int32_t> token_ids;
  // [rows]: one past the last position that the row sees on sliding layers. Its own position + 1,
  // or the end of its picture for a soft token of one. All such keys are in this batch or cached.
  absl::Span<const int64_t> sliding_visible_end;
  // [rows]: the same on full layers. Empty: each row's own position + 1.
  absl::Span<const int64_t> full_visible_end;
  // Rows whose logits are wanted, ascending.
  absl::Span<const int32_t> output_rows;
  // In row order; their rows cover the batch exactly.
  absl::Span<const BatchSequence> sequences;

  int64_t rows() const { return static_cast<int64_t>(token_ids.size()); }
};

// Most rows, outputs, sequences and pages of any one step: sizes a plan.
struct BatchLimits {
  int64_t rows = 0;
  int64_t outputs = 0;
  int64_t sequences = 0;
  int64_t pages = 0;  // entries of all page tables of a step together
};

// A Batch on the device. Made once, filled again by every step.
class BatchPlan {
 public:
  virtual ~BatchPlan() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t outputs() const = 0;
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  // Backend, ISA and version of its arithmetic, as "reference/1": equal strings promise equal bits.
  virtual std::string fingerprint() const = 0;
  // Host threads that compute, the caller's included.
  virtual int threads() const = 0;
  virtual Device& device() = 0;
  virtual Stream& stream() = 0;

  // ---- Before serving ----

  // Copies and packs; the source may be unmapped afterwards.
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> LoadLinear(const HostMatrix& source) = 0;
  virtual absl::StatusOr<std::unique_ptr<BatchPlan>> CreatePlan(const BatchLimits& limits) = 0;

  // ---- Once a step ----

  // Brings `batch` to the device. The host memory behind it may change once the call returns.
  virtual void Fill(const Batch& batch, BatchPlan& plan) = 0;

  // ---- Rows ----

  // out[r, :] = table[token(r), :] * multiplier. out: [rows, inputs of the table].
  virtual void EmbedTokens(const BatchPlan& plan, const LinearWeight& table, float multiplier,
                           TensorView out) = 0;
  // out[i, :] = x[output_row(i), :]. x: [rows, n], out: [outputs, n].
  virtual void GatherOutputs(const BatchPlan& plan, TensorView x, TensorView out) = 0;
  // out = x, rounded to out's dtype.
  virtual void Convert(TensorView x, TensorView out) = 0;
  // out[r, o] = sum over k of x[r, k] * weight[o, k] (+ bias[0, o]). bias may be empty; it is added
  // before the one rounding.
  virtual void Linear(TensorView x, const LinearWeight& weight, TensorView bias,
                      TensorView out) = 0;
  // out[r, c] = x[r, c] / sqrt(mean over c of x[r, c]^2 + epsilon) (* weight[0, c]). In place.
  virtual void RmsNorm(TensorView x, TensorView weight, float epsilon, TensorView out) = 0;
  // out = (x - mean) / sqrt(variance + epsilon) * weight + bias, over each row. In place.
  virtual void LayerNorm(TensorView x, TensorView weight, TensorView bias, float epsilon,
                         TensorView out) = 0;
  // Rotates each head of each row, in place. x: [rows, heads * head_dim]; inverse_frequency:
  // [1, head_dim / 2] float32. With angle = float(position * inverse_frequency[i]):
  //   x[i]       <- x[i] cos - x[i + D/2] sin
  //   x[i + D/2] <- x[i + D/2] cos + x[i] sin
  // cos, sin, both products and the sum are each rounded to x's dtype.
  virtual void Rope(const BatchPlan& plan, TensorView inverse_frequency, TensorView x) = 0;
  // out = round(gelu_tanh(gate)) * up; the inner rounding is to gate's dtype. In place.
  virtual void GeluMultiply(TensorView gate, TensorView up, TensorView out) = 0;
  // out = a + b. In place.
  virtual void Add(TensorView a, TensorView b, TensorView out) = 0;
  // out = x * factor. In place. x may be kUInt8: pixel levels become [0, 1].
  virtual void Scale(TensorView x, float factor, TensorView out) = 0;
  // x = cap * tanh(x / cap).
  virtual void Softcap(TensorView x, float cap) = 0;

  // ---- Attention ----

  // Writes k and v [rows, kv_heads * head_dim] to every row's place in its sequence's pages.
  virtual void StoreKv(const BatchPlan& plan, TensorView k, TensorView v,
                       const KvLayerView& kv) = 0;
  // Zeroes the slots [first_slot, page_tokens) of one page: what a partly used page carries to
  // another worker behind its last position.
  virtual void ClearKvSlots(const KvLayerView& kv, PageId page, int first_slot) = 0;
  // out[r, h] = sum over visible j of softmax_j(q[r, h] . K[j]) V[j], with no scale. K and V are
  // read from the pages (as rounded there), also those of this batch, which StoreKv has written
  // before. q, out: [rows, query_heads * head_dim]; query head h reads KV head h /
  // (query_heads/kv_heads). Visible from position p: on full layers j < full_visible_end; on
  // sliding layers p - window < j < sliding_visible_end. In the compact form the dimensions that do
  // not rotate are scored as (q * key_scale) . V. Scores and the softmax stay in float. Slots of
  // pages that hold no visible position may be NaN and must not reach the result.
  virtual void Attention(const BatchPlan& plan, TensorView q, const KvLayerView& kv,
                         TensorView out) = 0;

  // ---- Media ----

  // out[r, :] = x[r, :] + round(table[xy[r, 0], 0, :] + table[xy[r, 1], 1, :]). table: [positions,
  // 2 * n]; xy: [rows, 2] kInt32, inside the table. The inner sum is rounded to x's dtype.
  virtual void AddPositions(TensorView x, TensorView table, TensorView xy, TensorView out) = 0;
};

// Which backend, and how it runs. Reference: kernels/reference alone.
struct KernelOptions {
  std::string backend = "cpu";  // "cpu" or "reference"
  // Of the CPU backend: "avx2", "avx512", "avx512bf16", or "auto", the best that the processor has.
  std::string isa = "auto";
  // Of the CPU backend: threads that compute, the caller's included; 0: one for each processor this
  // process may use.
  int threads = 0;
};

// Makes a backend that runs on `device`, which must be the host and outlive it. INVALID_ARGUMENT
// for a backend or ISA that does not exist, FAILED_PRECONDITION for an ISA that the processor
// lacks.
absl::StatusOr<std::unique_ptr<Kernels>> CreateKernels(Device& device,
                                                       const KernelOptions& options);

// What `isa` can be on this processor, slowest first. Empty on one without AVX2.
std::vector<std::string> SupportedCpuIsas();

}  // namespace cleave
