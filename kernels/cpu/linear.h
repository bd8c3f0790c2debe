// Linear layers. Lanes hold outputs, rows share the weights that a register tile has loaded, and
// nobody splits an output's sum: it runs over the inputs in order, in parts of 256, whatever the
// number of rows. So a row alone and the same row in a chunk have the same bits.
//
// One row is bound by memory: four panels are read side by side, as four streams. Many rows are
// bound by arithmetic: a tile of 6 rows and 64 outputs (AVX-512) keeps 24 sums in registers, and a
// slice of the group's weights stays in the second-level cache while all tiles of rows pass it.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/cpu/operations.h"

namespace cleave::cpu {

// Inputs whose weights, for one group, stay in the second-level cache.
inline constexpr int64_t kCachePairs = 8 * kSumPairs;

template <class S>
struct WeightPair {
  typename S::Float first, second;
  [[gnu::always_inline]] WeightPair(const BFloat16* pair, int vector)
      : first(S::LoadFirsts(pair + 2 * S::kLanes * vector)),
        second(S::LoadSeconds(pair + 2 * S::kLanes * vector)) {}
  [[gnu::always_inline]] WeightPair(const float* pair, int vector)
      : first(S::Load(pair + S::kLanes * vector)),
        second(S::Load(pair + kPanelOutputs + S::kLanes * vector)) {}
};

// sums[row] += x[row, pair] * weights of one pair of inputs and one vector of outputs.
template <class S, int kRows, class Weight>
[[gnu::always_inline]] inline void AddPair(const float* x, const Weight* pair, int vector,
                                           typename S::Float (&sums)[kRows]) {
  const WeightPair<S> weight(pair, vector);
  for (int row = 0; row < kRows; ++row) {
    sums[row] = S::MultiplyAdd(S::Set(x[2 * row]), weight.first, sums[row]);
    sums[row] = S::MultiplyAdd(S::Set(x[2 * row + 1]), weight.second, sums[row]);
  }
}
template <class S, int kRows, class Weight>
[[gnu::always_inline]] inline void AddPair(const BFloat16* x, const Weight* pair, int vector,
                                           typename S::Float (&sums)[kRows]) {
  for (int row = 0; row < kRows; ++row) {
    uint32_t both;
    std::memcpy(&both, x + 2 * row, sizeof(both));
    sums[row] = S::DotPairs(sums[row], pair + 2 * S::kLanes * vector, both);
  }
}

// totals[row, output] += the products of `pairs` pairs of inputs, or = for the first part of a sum.
template <class S, int kRows, int kPanels, class Row, class Weight>
inline void SumTile(const Row* x, const Weight* weights, int64_t panel_elements, int64_t pairs,
                    bool is_first, float* totals) {
  constexpr int kVectors = kPanelOutputs / S::kLanes;
  typename S::Float sums[kPanels * kVectors][kRows];
  for (auto& of_rows : sums) {
    for (auto& sum : of_rows) sum = S::Zero();
  }
  for (int64_t pair = 0; pair < pairs; ++pair) {
    for (int panel = 0; panel < kPanels; ++panel) {
      const Weight* at = weights + panel * panel_elements + pair * 2 * kPanelOutputs;
      for (int vector = 0; vector < kVectors; ++vector) {
        AddPair<S, kRows>(x + pair * 2 * kRows, at, vector, sums[panel * kVectors + vector]);
      }
    }
  }
  for (int i = 0; i < kPanels * kVectors; ++i) {
    for (int row = 0; row < kRows; ++row) {
      float* total = totals + row * kGroupOutputs + i * S::kLanes;
      S::Store(total, is_first ? sums[i][row] : S::Add(S::Load(total), sums[i][row]));
    }
  }
}

// All panels of the group for one tile of rows, over the pairs [first, end), part after part.
template <class S, int kRows, class Row, class Weight>
inline void SumRows(const Row* x, const Weight* weights, int64_t panel_elements, int panels,
                    int64_t first, int64_t end, float* totals) {
  constexpr int kPanels = S::PanelsOfTile(kRows);
  for (int64_t pair = first; pair < end; pair += kSumPairs) {
    const int64_t pairs = end - pair < kSumPairs ? end - pair : kSumPairs;
    const Row* x_part = x + pair * 2 * kRows;
    const Weight* part = weights + pair * 2 * kPanelOutputs;
    int panel = 0;
    for (; panel + kPanels <= panels; panel += kPanels) {
      SumTile<S, kRows, kPanels>(x_part, part + panel * panel_elements, panel_elements, pairs,
                                 pair == 0, totals + panel * kPanelOutputs);
    }
    for (; panel < panels; ++panel) {
      SumTile<S, kRows, 1>(x_part, part + panel * panel_elements, panel_elements, pairs, pair == 0,
                           totals + panel * kPanelOutputs);
    }
  }
}

template <class S, class Row, class Weight>
void SumGroup(const LinearTask& task, const Row* rows, const Weight* data) {
  const PackedWeights& weights = task.weights;
  const int64_t stride = weights.panel_elements();
  const Weight* group = data + task.group * kGroupPanels * stride;
  const int64_t outputs_left = weights.outputs - task.group * kGroupOutputs;
  const int64_t panels_left = (outputs_left + kPanelOutputs - 1) / kPanelOutputs;
  const int panels = panels_left < kGroupPanels ? static_cast<int>(panels_left) : kGroupPanels;
  const int64_t pairs = weights.pairs();
  for (int64_t first = 0; first < pairs; first += kCachePairs) {
    const int64_t end = pairs - first < kCachePairs ? pairs : first + kCachePairs;
    for (int64_t row = 0; row < task.rows.rows; row += kTileRows) {
      const Row* x = rows + row * pairs * 2;
      float* totals = task.totals + row * kGroupOutputs;
      const int64_t left = task.rows.rows - row;
      const auto sum = [&](auto count) {
        SumRows<S, decltype(count)::value>(x, group, stride, panels, first, end, totals);
      };
      switch (left < kTileRows ? left : kTileRows) {
        case 1:
          sum(std::integral_constant<int, 1>());
          break;
        case 2:
          sum(std::integral_constant<int, 2>());
          break;
        case 3:
          sum(std::integral_constant<int, 3>());
          break;
        case 4:
          sum(std::integral_constant<int, 4>());
          break;
        case 5:
          sum(std::integral_constant<int, 5>());
          break;
        default:
          sum(std::integral_constant<int, 6>());
          break;
      }
    }
  }
}

// out = totals (+ bias), rounded once.
template <class S, class Out>
void StoreGroup(const LinearTask& task, Out* out) {
  const int64_t first = task.group * kGroupOutputs;
  const int64_t left = task.weights.outputs - first;
  const int64_t outputs = left < kGroupOutputs ? left : kGroupOutputs;
  for (int64_t row = 0; row < task.rows.rows; ++row) {
    Out* to = out + row * task.out.row_stride + first;
    const float* totals = task.totals + row * kGroupOutputs;
    for (int64_t i = 0; i < outputs; i += S::kLanes) {
      const int count = outputs - i < S::kLanes ? static_cast<int>(outputs - i) : S::kLanes;
      typename S::Float value = S::Load(totals + i);
      if (task.bias != nullptr) value = S::Add(value, S::LoadPart(task.bias + first + i, count));
      if (count == S::kLanes) {
        S::Store(to + i, value);
      } else {
        S::StorePart(to + i, value, count);
      }
    }
  }
}

template <class S>
void Linear(const LinearTask& task) {
  if (task.rows.is_bfloat16) {
    if constexpr (S::kHasBFloat16Dot) {
      SumGroup<S>(task, static_cast<const BFloat16*>(task.rows.data),
                  static_cast<const BFloat16*>(task.weights.data));
    }
  } else if (task.weights.dtype == DType::kBFloat16) {
    SumGroup<S>(task, static_cast<const float*>(task.rows.data),
                static_cast<const BFloat16*>(task.weights.data));
  } else {
    SumGroup<S>(task, static_cast<const float*>(task.rows.data),
                static_cast<const float*>(task.weights.data));
  }
  if (task.out.dtype == DType::kFloat32) {
    StoreGroup<S>(task, static_cast<float*>(task.out.data));
  } else {
    StoreGroup<S>(task, static_cast<BFloat16*>(task.out.data));
  }
}

// ---- Packing rows ----

template <class Out, class In>
[[gnu::always_inline]] inline Out Widened(In value) {
  if constexpr (std::is_same_v<In, Out>) {
    return value;
  } else {
    return __builtin_bit_cast(float, static_cast<uint32_t>(value) << 16);
  }
}

template <class S, class In, class Out>
void PackTiles(const In* x, const TensorView& view, Out* out) {
  const int64_t pairs = (view.cols + 1) / 2;
  for (int64_t first = 0; first < view.rows; first += kTileRows) {
    const int64_t rows = view.rows - first < kTileRows ? view.rows - first : kTileRows;
    Out* tile = out + first * pairs * 2;
    for (int64_t row = 0; row < rows; ++row) {
      const In* from = x + (first + row) * view.row_stride;
      Out* to = tile + row * 2;
      for (int64_t pair = 0; pair < view.cols / 2; ++pair, to += rows * 2) {
        to[0] = Widened<Out>(from[2 * pair]);
        to[1] = Widened<Out>(from[2 * pair + 1]);
      }
      if (view.cols % 2 == 1) {
        to[0] = Widened<Out>(from[view.cols - 1]);
        to[1] = Out{};
      }
    }
  }
}

template <class S>
void PackRows(const TensorView& x, PackedRows& out) {
  if (x.dtype == DType::kFloat32) {
    PackTiles<S>(static_cast<const float*>(x.data), x, static_cast<float*>(out.data));
  } else if (out.is_bfloat16) {
    PackTiles<S>(static_cast<const BFloat16*>(x.data), x, static_cast<BFloat16*>(out.data));
  } else {
    PackTiles<S>(static_cast<const BFloat16*>(x.data), x, static_cast<float*>(out.data));
  }
}

}  // namespace cleave::cpu
