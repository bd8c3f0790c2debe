// Operations that work on one row at a time, whatever the dtype of the views.
#pragma once

#include <type_traits>

#include "kernels/cpu/math.h"
#include "kernels/cpu/operations.h"

namespace cleave::cpu {

// Calls `visit` with a pointer to the view's first element, of its type.
template <class Visitor>
[[gnu::always_inline]] inline void WithElements(const TensorView& view, Visitor visit) {
  if (view.dtype == DType::kFloat32) {
    visit(static_cast<float*>(view.data));
  } else {
    visit(static_cast<BFloat16*>(view.data));
  }
}

// visit(column, count) for one vector of columns after the other; only the last may be partial.
template <class S, class Visitor>
[[gnu::always_inline]] inline void ForVectors(int64_t cols, Visitor visit) {
  int64_t column = 0;
  for (; column + S::kLanes <= cols; column += S::kLanes) visit(column, S::kLanes);
  if (column < cols) visit(column, static_cast<int>(cols - column));
}

template <class S, class Element>
[[gnu::always_inline]] inline typename S::Float LoadUpTo(const Element* from, int count) {
  return count == S::kLanes ? S::Load(from) : S::LoadPart(from, count);
}

template <class S, class Element>
[[gnu::always_inline]] inline void StoreUpTo(Element* to, typename S::Float value, int count) {
  if (count == S::kLanes) {
    S::Store(to, value);
  } else {
    S::StorePart(to, value, count);
  }
}

// value, as it is after a round trip through Element.
template <class S>
[[gnu::always_inline]] inline typename S::Float RoundedTo(typename S::Float value, const float*) {
  return value;
}
template <class S>
[[gnu::always_inline]] inline typename S::Float RoundedTo(typename S::Float value,
                                                          const BFloat16*) {
  BFloat16 rounded[S::kLanes];
  S::Store(rounded, value);
  return S::Load(rounded);
}

// Sum over the columns of term(value). Four running vectors at most 16 terms long, so that the
// error does not grow with the row.
template <class S, class Element, class Term>
[[gnu::always_inline]] inline float SumRow(const Element* row, int64_t cols, Term term) {
  constexpr int64_t kStrip = 64 * S::kLanes;
  typename S::Float total = S::Zero();
  for (int64_t first = 0; first < cols; first += kStrip) {
    const int64_t end = cols - first < kStrip ? cols : first + kStrip;
    typename S::Float sums[4] = {S::Zero(), S::Zero(), S::Zero(), S::Zero()};
    int64_t column = first;
    for (; column + 4 * S::kLanes <= end; column += 4 * S::kLanes) {
      for (int i = 0; i < 4; ++i) {
        sums[i] = S::Add(sums[i], term(S::Load(row + column + i * S::kLanes), S::kLanes));
      }
    }
    for (; column < end; column += S::kLanes) {
      const int count = end - column < S::kLanes ? static_cast<int>(end - column) : S::kLanes;
      sums[0] = S::Add(sums[0], term(LoadUpTo<S>(row + column, count), count));
    }
    total = S::Add(total, S::Add(S::Add(sums[0], sums[1]), S::Add(sums[2], sums[3])));
  }
  return S::Sum(total);
}

// out[r, c] = f(x[r, c]) for every element.
template <class S, class Function>
[[gnu::always_inline]] inline void MapRows(const TensorView& x, const TensorView& out,
                                           Function function) {
  WithElements(x, [&](auto* from) {
    WithElements(out, [&](auto* to) {
      for (int64_t row = 0; row < x.rows; ++row) {
        ForVectors<S>(x.cols, [&](int64_t column, int count) {
          const auto value = LoadUpTo<S>(from + row * x.row_stride + column, count);
          StoreUpTo<S>(to + row * out.row_stride + column, function(value), count);
        });
      }
    });
  });
}

template <class S>
void Convert(const TensorView& x, const TensorView& out) {
  MapRows<S>(x, out, [](typename S::Float value) { return value; });
}

template <class S>
void Scale(const TensorView& x, float factor, const TensorView& out) {
  const auto multiply = [factor](typename S::Float value) {
    return S::Multiply(value, S::Set(factor));
  };
  if (x.dtype != DType::kUInt8) return MapRows<S>(x, out, multiply);
  const auto* from = static_cast<const uint8_t*>(x.data);
  WithElements(out, [&](auto* to) {
    for (int64_t row = 0; row < x.rows; ++row) {
      ForVectors<S>(x.cols, [&](int64_t column, int count) {
        const auto value = LoadUpTo<S>(from + row * x.row_stride + column, count);
        StoreUpTo<S>(to + row * out.row_stride + column, multiply(value), count);
      });
    }
  });
}

template <class S>
void Softcap(const TensorView& x, float cap) {
  MapRows<S>(x, x, [cap](typename S::Float value) {
    return S::Multiply(Tanh<S>(S::Divide(value, S::Set(cap))), S::Set(cap));
  });
}

template <class S>
void RmsNorm(const TensorView& x, const TensorView& weight, float epsilon, const TensorView& out) {
  const auto* scales = static_cast<const float*>(weight.data);
  WithElements(x, [&](auto* from) {
    WithElements(out, [&](auto* to) {
      for (int64_t row = 0; row < x.rows; ++row) {
        const auto* values = from + row * x.row_stride;
        const float squares = SumRow<S>(
            values, x.cols, [](typename S::Float value, int) { return S::Multiply(value, value); });
        const float mean = squares / static_cast<float>(x.cols) + epsilon;
        const auto factor = S::Set(1.0f / __builtin_sqrtf(mean));
        ForVectors<S>(x.cols, [&](int64_t column, int count) {
          auto value = S::Multiply(LoadUpTo<S>(values + column, count), factor);
          if (scales != nullptr) value = S::Multiply(value, LoadUpTo<S>(scales + column, count));
          StoreUpTo<S>(to + row * out.row_stride + column, value, count);
        });
      }
    });
  });
}

template <class S>
void LayerNorm(const TensorView& x, const TensorView& weight, const TensorView& bias, float epsilon,
               const TensorView& out) {
  using F = typename S::Float;
  const auto* scales = static_cast<const float*>(weight.data);
  const auto* shifts = static_cast<const float*>(bias.data);
  WithElements(x, [&](auto* from) {
    WithElements(out, [&](auto* to) {
      for (int64_t row = 0; row < x.rows; ++row) {
        const auto* values = from + row * x.row_stride;
        const float cols = static_cast<float>(x.cols);
        const float mean = SumRow<S>(values, x.cols, [](F value, int) { return value; }) / cols;
        const float squares = SumRow<S>(values, x.cols, [&](F value, int count) {
          const F apart = S::Subtract(value, S::Set(mean));
          if (count == S::kLanes) return S::Multiply(apart, apart);
          float part[S::kLanes];  // the lanes beyond the row are no values
          S::Store(part, S::Multiply(apart, apart));
          return S::LoadPart(part, count);
        });
        const F factor = S::Set(1.0f / __builtin_sqrtf(squares / cols + epsilon));
        ForVectors<S>(x.cols, [&](int64_t column, int count) {
          const F apart = S::Subtract(LoadUpTo<S>(values + column, count), S::Set(mean));
          const F scaled =
              S::Multiply(S::Multiply(apart, factor), LoadUpTo<S>(scales + column, count));
          StoreUpTo<S>(to + row * out.row_stride + column,
                       S::Add(scaled, LoadUpTo<S>(shifts + column, count)), count);
        });
      }
    });
  });
}

template <class S>
void Rotate(const float* cosine, const float* sine, int64_t half, const TensorView& x) {
  WithElements(x, [&](auto* elements) {
    for (int64_t row = 0; row < x.rows; ++row) {
      for (int64_t head = 0; head < x.cols; head += 2 * half) {
        auto* low = elements + row * x.row_stride + head;
        auto* high = low + half;
        ForVectors<S>(half, [&](int64_t column, int count) {
          const auto a = LoadUpTo<S>(low + column, count);
          const auto b = LoadUpTo<S>(high + column, count);
          const auto c = LoadUpTo<S>(cosine + row * half + column, count);
          const auto s = LoadUpTo<S>(sine + row * half + column, count);
          const auto rounded = [&](typename S::Float value) {
            return RoundedTo<S>(value, elements);
          };
          StoreUpTo<S>(low + column,
                       S::Subtract(rounded(S::Multiply(a, c)), rounded(S::Multiply(b, s))), count);
          StoreUpTo<S>(high + column,
                       S::Add(rounded(S::Multiply(b, c)), rounded(S::Multiply(a, s))), count);
        });
      }
    }
  });
}

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), in float step by step as the reference does.
template <class S>
[[gnu::always_inline]] inline typename S::Float GeluTanh(typename S::Float x) {
  const auto cube = S::Multiply(S::Multiply(x, x), x);
  const auto inner =
      S::Multiply(S::Set(0.797884583f), S::Add(x, S::Multiply(S::Set(0.044715f), cube)));
  const auto half = S::Multiply(S::Set(0.5f), x);
  return S::Multiply(half, S::Add(S::Set(1.0f), Tanh<S>(inner)));
}

// out = f(a, b); the three views have one dtype.
template <class S, class Function>
[[gnu::always_inline]] inline void CombineRows(const TensorView& a, const TensorView& b,
                                               const TensorView& out, Function function) {
  WithElements(out, [&](auto* to) {
    using Element = std::remove_pointer_t<decltype(to)>;
    const auto* left = static_cast<const Element*>(a.data);
    const auto* right = static_cast<const Element*>(b.data);
    for (int64_t row = 0; row < a.rows; ++row) {
      ForVectors<S>(a.cols, [&](int64_t column, int count) {
        const auto x = LoadUpTo<S>(left + row * a.row_stride + column, count);
        const auto y = LoadUpTo<S>(right + row * b.row_stride + column, count);
        StoreUpTo<S>(to + row * out.row_stride + column, function(x, y, to), count);
      });
    }
  });
}

template <class S>
void GeluMultiply(const TensorView& gate, const TensorView& up, const TensorView& out) {
  CombineRows<S>(gate, up, out, [](typename S::Float x, typename S::Float y, auto* to) {
    return S::Multiply(RoundedTo<S>(GeluTanh<S>(x), to), y);
  });
}

template <class S>
void Add(const TensorView& a, const TensorView& b, const TensorView& out) {
  CombineRows<S>(a, b, out,
                 [](typename S::Float x, typename S::Float y, auto*) { return S::Add(x, y); });
}

template <class S>
void AddPositions(const TensorView& x, const TensorView& table, const TensorView& xy,
                  const TensorView& out) {
  const auto* positions = static_cast<const float*>(table.data);
  const auto* coordinates = static_cast<const int32_t*>(xy.data);
  WithElements(out, [&](auto* to) {
    using Element = std::remove_pointer_t<decltype(to)>;
    const auto* from = static_cast<const Element*>(x.data);
    for (int64_t row = 0; row < x.rows; ++row) {
      const int32_t* at = coordinates + row * xy.row_stride;
      const float* of_column = positions + at[0] * table.row_stride;
      const float* of_row = positions + at[1] * table.row_stride + x.cols;
      ForVectors<S>(x.cols, [&](int64_t column, int count) {
        const auto place =
            S::Add(LoadUpTo<S>(of_column + column, count), LoadUpTo<S>(of_row + column, count));
        const auto value = LoadUpTo<S>(from + row * x.row_stride + column, count);
        StoreUpTo<S>(to + row * out.row_stride + column, S::Add(value, RoundedTo<S>(place, to)),
                     count);
      });
    }
  });
}

}  // namespace cleave::cpu
