// Attention of a few queries over one block of 64 positions, with the softmax kept up to date block
// by block (Milakov and Gimelshein 2018; Dao et al. 2022).
//
// A score is a sum over the head's dimensions: lanes take every kLanes-th of them, and are added up
// in one order. A result is a sum over positions, oldest first. Neither depends on which other
// queries share the tile, so a position decoded alone and in a chunk has the same bits.
#pragma once

#include "kernels/cpu/math.h"
#include "kernels/cpu/operations.h"

namespace cleave::cpu {

inline constexpr float kMinusInfinity = -__builtin_huge_valf();

// Positions of a block that some query of a group sees, as offsets into the block.
struct SeenOffsets {
  int first;
  int end;
};

template <class S, int kQueries>
SeenOffsets SeenByGroup(const QueryTile& tile, int first_query, const KeyBlock& block) {
  int64_t begin = block.end, end = block.first;
  for (int q = first_query; q < first_query + kQueries; ++q) {
    if (tile.begin[q] < begin) begin = tile.begin[q];
    if (tile.end[q] > end) end = tile.end[q];
  }
  if (begin < block.first) begin = block.first;
  if (end > block.end) end = block.end;
  const int64_t origin = block.first / kBlockPositions * kBlockPositions;
  return {static_cast<int>(begin - origin), static_cast<int>(end - origin)};
}

// sums[query][key] += query . key over one stretch of dimensions.
template <class S, int kQueries, class Element>
[[gnu::always_inline]] inline void AddProducts(const float* queries,
                                               const Element* const (&keys)[4], int length,
                                               typename S::Float (&sums)[kQueries][4]) {
  using F = typename S::Float;
  int i = 0;
  for (; i + S::kLanes <= length; i += S::kLanes) {
    const F key[4] = {S::Load(keys[0] + i), S::Load(keys[1] + i), S::Load(keys[2] + i),
                      S::Load(keys[3] + i)};
    for (int q = 0; q < kQueries; ++q) {
      const F query = S::Load(queries + q * kHeadDimMax + i);
      for (int k = 0; k < 4; ++k) sums[q][k] = S::MultiplyAdd(query, key[k], sums[q][k]);
    }
  }
  if (i == length) return;
  const int left = length - i;
  for (int k = 0; k < 4; ++k) {
    const F key = S::LoadPart(keys[k] + i, left);
    for (int q = 0; q < kQueries; ++q) {
      const F query = S::LoadPart(queries + q * kHeadDimMax + i, left);
      sums[q][k] = S::MultiplyAdd(query, key, sums[q][k]);
    }
  }
}

// scores[query][offset] of the offsets seen; the others are left alone.
template <class S, int kQueries, class Element>
void ScoreGroup(const QueryTile& tile, int first_query, const KeyBlock& block, SeenOffsets seen,
                float (&scores)[kQueries][kBlockPositions]) {
  for (int offset = seen.first; offset < seen.end; offset += 4) {
    typename S::Float sums[kQueries][4];
    for (auto& of_query : sums) {
      for (auto& sum : of_query) sum = S::Zero();
    }
    const float* queries = tile.queries[first_query];
    for (int i = 0; i < tile.num_segments; ++i) {
      const ScoreSegment& segment = tile.segments[i];
      const Element* keys[4];
      for (int k = 0; k < 4; ++k) {
        const int at = offset + k < seen.end ? offset + k : seen.end - 1;
        const void* row = segment.of_value ? block.values[at] : block.keys[at];
        keys[k] = static_cast<const Element*>(row) + segment.first;
      }
      AddProducts<S, kQueries>(queries, keys, segment.length, sums);
      queries += segment.length;
    }
    for (int q = 0; q < kQueries; ++q) {
      float four[4];
      _mm_storeu_ps(four, S::SumEach(sums[q][0], sums[q][1], sums[q][2], sums[q][3]));
      for (int k = 0; k < 4 && offset + k < seen.end; ++k) scores[q][offset + k] = four[k];
    }
  }
}

// Turns a query's scores into weights relative to the largest score so far. Returns the factor by
// which what was summed up before must shrink. Offsets that the query does not see get weight 0.
template <class S>
float WeighQuery(const QueryTile& tile, int query, int64_t origin, AttentionPart& part,
                 float (&scores)[kBlockPositions]) {
  using F = typename S::Float;
  for (int offset = 0; offset < kBlockPositions; ++offset) {
    const int64_t position = origin + offset;
    if (position < tile.begin[query] || position >= tile.end[query]) {
      scores[offset] = kMinusInfinity;
    }
  }
  F largest = S::Set(part.largest[query]);
  for (int i = 0; i < kBlockPositions; i += S::kLanes) {
    largest = S::Max(largest, S::Load(scores + i));
  }
  const float before = part.largest[query];
  const float now = S::Largest(largest);
  if (now == kMinusInfinity) {  // nothing seen yet, here neither
    for (float& score : scores) score = 0.0f;
    return 1.0f;
  }
  F sum = S::Zero();
  for (int i = 0; i < kBlockPositions; i += S::kLanes) {
    const F weight = Exp<S>(S::Subtract(S::Load(scores + i), S::Set(now)));
    S::Store(scores + i, weight);
    sum = S::Add(sum, weight);
  }
  float factor[S::kLanes];
  S::Store(factor, Exp<S>(S::Set(before - now)));
  part.largest[query] = now;
  part.sum[query] = part.sum[query] * factor[0] + S::Sum(sum);
  return factor[0];
}

// out = out * factor + sum over offsets of weight * value.
template <class S, int kQueries, int kVectors, class Element>
[[gnu::always_inline]] inline void AddValues(const KeyBlock& block, SeenOffsets seen, int column,
                                             const float (&weights)[kQueries][kBlockPositions],
                                             const float (&factors)[kQueries],
                                             float (*out)[kHeadDimMax]) {
  typename S::Float sums[kQueries][kVectors];
  for (int q = 0; q < kQueries; ++q) {
    for (int v = 0; v < kVectors; ++v) {
      sums[q][v] = S::Multiply(S::Load(out[q] + column + v * S::kLanes), S::Set(factors[q]));
    }
  }
  for (int offset = seen.first; offset < seen.end; ++offset) {
    const Element* value = static_cast<const Element*>(block.values[offset]) + column;
    for (int v = 0; v < kVectors; ++v) {
      const typename S::Float vector = S::Load(value + v * S::kLanes);
      for (int q = 0; q < kQueries; ++q) {
        sums[q][v] = S::MultiplyAdd(S::Set(weights[q][offset]), vector, sums[q][v]);
      }
    }
  }
  for (int q = 0; q < kQueries; ++q) {
    for (int v = 0; v < kVectors; ++v) S::Store(out[q] + column + v * S::kLanes, sums[q][v]);
  }
}

// The same for the last columns of a head whose size the lanes do not divide.
template <class S, int kQueries, class Element>
void AddLastValues(const KeyBlock& block, SeenOffsets seen, int column, int count,
                   const float (&weights)[kQueries][kBlockPositions],
                   const float (&factors)[kQueries], float (*out)[kHeadDimMax]) {
  for (int q = 0; q < kQueries; ++q) {
    float* to = out[q] + column;
    typename S::Float sum = S::Multiply(S::LoadPart(to, count), S::Set(factors[q]));
    for (int offset = seen.first; offset < seen.end; ++offset) {
      const Element* value = static_cast<const Element*>(block.values[offset]) + column;
      sum = S::MultiplyAdd(S::Set(weights[q][offset]), S::LoadPart(value, count), sum);
    }
    S::StorePart(to, sum, count);
  }
}

template <class S, int kQueries, class Element>
void AttendGroup(const QueryTile& tile, int first_query, const KeyBlock& block,
                 AttentionPart& part) {
  const SeenOffsets seen = SeenByGroup<S, kQueries>(tile, first_query, block);
  if (seen.first >= seen.end) return;
  alignas(64) float weights[kQueries][kBlockPositions];
  ScoreGroup<S, kQueries, Element>(tile, first_query, block, seen, weights);
  const int64_t origin = block.first / kBlockPositions * kBlockPositions;
  float factors[kQueries];
  for (int q = 0; q < kQueries; ++q) {
    // Offsets outside the group's are masked by position, whatever stands there.
    factors[q] = WeighQuery<S>(tile, first_query + q, origin, part, weights[q]);
  }
  float(*out)[kHeadDimMax] = part.out + first_query;
  constexpr int kStep = S::kValueVectors * S::kLanes;
  int column = 0;
  for (; column + kStep <= tile.head_dim; column += kStep) {
    AddValues<S, kQueries, S::kValueVectors, Element>(block, seen, column, weights, factors, out);
  }
  for (; column + S::kLanes <= tile.head_dim; column += S::kLanes) {
    AddValues<S, kQueries, 1, Element>(block, seen, column, weights, factors, out);
  }
  if (column < tile.head_dim) {
    AddLastValues<S, kQueries, Element>(block, seen, column, tile.head_dim - column, weights,
                                        factors, out);
  }
}

template <class S, class Element>
void AttendBlock(const QueryTile& tile, const KeyBlock& block, AttentionPart& part) {
  int query = 0;
  for (; query + 4 <= tile.count; query += 4) {
    AttendGroup<S, 4, Element>(tile, query, block, part);
  }
  switch (tile.count - query) {
    case 3:
      return AttendGroup<S, 3, Element>(tile, query, block, part);
    case 2:
      return AttendGroup<S, 2, Element>(tile, query, block, part);
    case 1:
      return AttendGroup<S, 1, Element>(tile, query, block, part);
    default:
      return;
  }
}

template <class S>
void Attend(const QueryTile& tile, const KeyBlock& block, DType dtype, AttentionPart& part) {
  if (dtype == DType::kFloat32) {
    AttendBlock<S, float>(tile, block, part);
  } else {
    AttendBlock<S, BFloat16>(tile, block, part);
  }
}

// Adds a later part of the sequence to what was seen before.
template <class S>
void MergePart(const QueryTile& tile, const AttentionPart& part, AttentionPart& into) {
  for (int q = 0; q < tile.count; ++q) {
    if (part.largest[q] == kMinusInfinity) continue;
    const float largest = into.largest[q] < part.largest[q] ? part.largest[q] : into.largest[q];
    float before[S::kLanes], added[S::kLanes];
    S::Store(before, Exp<S>(S::Set(into.largest[q] - largest)));
    S::Store(added, Exp<S>(S::Set(part.largest[q] - largest)));
    into.largest[q] = largest;
    into.sum[q] = into.sum[q] * before[0] + part.sum[q] * added[0];
    for (int i = 0; i < tile.head_dim; i += S::kLanes) {
      const auto old_values = S::Multiply(S::Load(into.out[q] + i), S::Set(before[0]));
      S::Store(into.out[q] + i,
               S::MultiplyAdd(S::Load(part.out[q] + i), S::Set(added[0]), old_values));
    }
  }
}

template <class S>
void FinishPart(const QueryTile& tile, AttentionPart& part) {
  for (int q = 0; q < tile.count; ++q) {
    for (int i = 0; i < tile.head_dim; i += S::kLanes) {
      S::Store(part.out[q] + i, S::Divide(S::Load(part.out[q] + i), S::Set(part.sum[q])));
    }
  }
}

}  // namespace cleave::cpu
