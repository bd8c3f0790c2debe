// exp and tanh as polynomials of our own: the same bits in every lane, whatever the C library.
// The coefficients are least-squares fits at Chebyshev nodes over the stated range.
#pragma once

namespace cleave::cpu {

// e^x within 2 units in the last place; 0 below -87, which includes -infinity. x at most 88.
template <class S>
[[gnu::always_inline]] inline typename S::Float Exp(typename S::Float x) {
  using F = typename S::Float;
  // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, the first exact times any n.
  // The order of Max and Min lets NaN through.
  const F clamped = S::Max(S::Set(-87.0f), x);
  const F n = S::RoundToInteger(S::Multiply(clamped, S::Set(1.44269504f)));
  F r = S::MultiplyAdd(n, S::Set(-0.693359375f), clamped);
  r = S::MultiplyAdd(n, S::Set(2.12194440e-4f), r);
  // e^r = 1 + r + r^2 p(r).
  F p = S::Set(0.00139336439f);
  p = S::MultiplyAdd(p, r, S::Set(0.00836317521f));
  p = S::MultiplyAdd(p, r, S::Set(0.0416664667f));
  p = S::MultiplyAdd(p, r, S::Set(0.166665763f));
  p = S::MultiplyAdd(p, r, S::Set(0.5f));
  const F power = S::Add(S::MultiplyAdd(p, S::Multiply(r, r), r), S::Set(1.0f));
  const F value = S::Multiply(power, S::PowerOfTwo(n));
  return S::IfLess(x, S::Set(-87.0f), S::Zero(), value);
}

// tanh x within 3 units in the last place.
template <class S>
[[gnu::always_inline]] inline typename S::Float Tanh(typename S::Float x) {
  using F = typename S::Float;
  const F magnitude = S::Magnitude(x);
  // Near 0: x + x^3 p(x^2), for |x| < 0.625.
  const F square = S::Multiply(x, x);
  F p = S::Set(-0.006104948f);
  p = S::MultiplyAdd(p, square, S::Set(0.0210036412f));
  p = S::MultiplyAdd(p, square, S::Set(-0.0538524985f));
  p = S::MultiplyAdd(p, square, S::Set(0.133327827f));
  p = S::MultiplyAdd(p, square, S::Set(-0.333333284f));
  const F near = S::MultiplyAdd(S::Multiply(p, square), x, x);
  // Elsewhere 1 - 2 / (e^2|x| + 1), which is 1 from 10 on.
  const F twice = S::Min(S::Set(20.0f), S::Add(magnitude, magnitude));
  const F far =
      S::Subtract(S::Set(1.0f), S::Divide(S::Set(2.0f), S::Add(Exp<S>(twice), S::Set(1.0f))));
  return S::IfLess(magnitude, S::Set(0.625f), near, S::WithSign(far, x));
}

}  // namespace cleave::cpu
