// What one instruction set contributes to the CPU backend: plain functions over plain structs, so
// that the files compiled for an ISA share no inline code with the rest of the program. (The linker
// keeps one copy of an inline function; it must not be one that an older processor cannot run.)
#pragma once

#include <cstdint>

#include "runtime/device/tensor.h"

namespace cleave::cpu {

// ---- Linear layers ----

// Outputs that share a panel of packed weights, and panels that are worked on together.
inline constexpr int kPanelOutputs = 16;
inline constexpr int kGroupPanels = 4;
inline constexpr int kGroupOutputs = kPanelOutputs * kGroupPanels;
// Rows of a register tile, and rows that are packed at a time.
inline constexpr int kTileRows = 6;
inline constexpr int kBlockRows = 240;
// A sum over the inputs is cut every 256 inputs; the parts are added in order.
inline constexpr int64_t kSumPairs = 128;

// A weight matrix [outputs, inputs] in panels of 16 outputs, inputs in pairs, padded with zeros:
//   bfloat16 [panel, pair, output of the panel, 2]    float32 [panel, pair, 2, output of the panel]
struct PackedWeights {
  const void* data = nullptr;
  DType dtype = DType::kBFloat16;
  int64_t outputs = 0;
  int64_t inputs = 0;

  [[gnu::always_inline]] int64_t pairs() const { return (inputs + 1) / 2; }
  [[gnu::always_inline]] int64_t groups() const {
    return (outputs + kGroupOutputs - 1) / kGroupOutputs;
  }
  [[gnu::always_inline]] int64_t panel_elements() const { return pairs() * 2 * kPanelOutputs; }
};

// At most kBlockRows rows of an input, in tiles of kTileRows rows (the last may have fewer), each
// [pair, row of the tile, 2]: bfloat16 where the ISA multiplies it, else float32.
struct PackedRows {
  void* data = nullptr;
  bool is_bfloat16 = false;
  int64_t rows = 0;
};

// One group of outputs for a block of rows.
struct LinearTask {
  PackedRows rows;
  PackedWeights weights;
  const float* bias = nullptr;  // [outputs] or null
  TensorView out;               // [rows, outputs]
  int64_t group = 0;
  float* totals = nullptr;  // [rows, kGroupOutputs]: working memory
};

// ---- Attention ----

// Positions that share one step of the softmax, at multiples of themselves; and the length of a
// part of a long sequence, which is attended to on its own and merged.
inline constexpr int kBlockPositions = 64;
inline constexpr int64_t kPartPositions = 2048;
inline constexpr int kTileQueries = 16;
inline constexpr int kHeadDimMax = 512;

// A stretch of a query and of a key, whose products are summed: of the K or of the V of a position.
struct ScoreSegment {
  bool of_value = false;
  int first = 0;   // element of the K or V row
  int length = 0;  // elements; the query's follow those of the segment before
};

// Queries of one sequence that read the same KV head, and what they have seen so far.
struct QueryTile {
  int count = 0;  // 1 to kTileQueries
  int head_dim = 0;
  int num_segments = 0;
  ScoreSegment segments[3];
  // Half-open range of positions that each query sees.
  int64_t begin[kTileQueries];
  int64_t end[kTileQueries];
  alignas(64) float queries[kTileQueries][kHeadDimMax];  // in the order of the segments
};

// Softmax-weighted sum of values over some range of positions, not yet divided by the weights' sum.
struct AttentionPart {
  float largest[kTileQueries];
  float sum[kTileQueries];
  alignas(64) float out[kTileQueries][kHeadDimMax];
};

// Rows of K and V at the positions [first, end) of one block of positions.
struct KeyBlock {
  int64_t first = 0;
  int64_t end = 0;
  const void* keys[kBlockPositions];  // by position % kBlockPositions
  const void* values[kBlockPositions];
};

// ---- The table ----

struct Operations {
  const char* name;
  bool multiplies_bfloat16;

  void (*pack_rows)(const TensorView& x, PackedRows& out);
  void (*linear)(const LinearTask& task);
  // Adds a block of positions to what the tile's queries have seen, as `part` holds it.
  void (*attend)(const QueryTile& tile, const KeyBlock& block, DType dtype, AttentionPart& part);
  // Adds a later part of the sequence to an earlier one.
  void (*merge)(const QueryTile& tile, const AttentionPart& part, AttentionPart& into);
  // Divides each query's sum of values by the sum of their weights: part.out is then the result.
  void (*finish)(const QueryTile& tile, AttentionPart& part);

  // As in kernels.h, over all rows of the views.
  void (*convert)(const TensorView& x, const TensorView& out);
  void (*rms_norm)(const TensorView& x, const TensorView& weight, float epsilon,
                   const TensorView& out);
  void (*layer_norm)(const TensorView& x, const TensorView& weight, const TensorView& bias,
                     float epsilon, const TensorView& out);
  // cosine, sine: [x.rows, half], already rounded to x's dtype.
  void (*rotate)(const float* cosine, const float* sine, int64_t half, const TensorView& x);
  void (*gelu_multiply)(const TensorView& gate, const TensorView& up, const TensorView& out);
  void (*add)(const TensorView& a, const TensorView& b, const TensorView& out);
  void (*scale)(const TensorView& x, float factor, const TensorView& out);
  void (*softcap)(const TensorView& x, float cap);
  void (*add_positions)(const TensorView& x, const TensorView& table, const TensorView& xy,
                        const TensorView& out);
};

const Operations& Avx2Operations();
const Operations& Avx512Operations();
const Operations& Avx512BFloat16Operations();

}  // namespace cleave::cpu
