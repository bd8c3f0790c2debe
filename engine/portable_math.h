// exp and log whose bits do not depend on the C library or on the processor it looks at, so that a
// draw is the same on every worker that a request is continued on. Plain double arithmetic, one
// operation after the other (the build forbids contraction).
#pragma once

#include <bit>
#include <cstdint>

namespace cleave {

// Natural logarithm of a finite x above 0, denormals excepted; within 2 units in the last place.
inline double PortableLog(double x) {
  // x = 2^n m with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh s with s = (m - 1) / (m + 1).
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  constexpr uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
  const int64_t n = static_cast<int64_t>(bits - kRootHalf) >> 52;
  const double m = std::bit_cast<double>(bits - (static_cast<uint64_t>(n) << 52));
  const double s = (m - 1) / (m + 1), square = s * s;
  double series = 0;  // 1/3 s^2 + 1/5 s^4 + ..., |s| < 0.172
  for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * square;
  // ln 2 in two parts, the first exact times any n.
  constexpr double kHigh = 6.93147180369123816490e-01, kLow = 1.90821492927058770002e-10;
  return static_cast<double>(n) * kHigh +
         (2 * s + (2 * s * series + static_cast<double>(n) * kLow));
}

// x = n ln 2 + r, for x from -700 to 700: what is left to do of e^x is e^r, |r| < 0.347.
struct ExpParts {
  explicit ExpParts(double x) {
    constexpr double kInverse = 1.4426950408889634, kHigh = 6.93147180369123816490e-01,
                     kLow = 1.90821492927058770002e-10;
    constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
    const double n = (x * kInverse + kRounder) - kRounder;
    r = (x - n * kHigh) - n * kLow;
    two_to_n = std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52);
  }
  double r, two_to_n;
};

// e^x for x of at most 700, within 2 units in the last place; 0 below -700.
inline double PortableExp(double x) {
  if (!(x >= -700)) return 0;
  const ExpParts parts(x);
  double power = 0;  // the series of e^r - 1
  for (int k = 14; k >= 1; --k) power = (power + 1) * parts.r / k;
  return (power + 1) * parts.two_to_n;
}

// The same within kRoughExpError of it, several times as fast.
inline constexpr double kRoughExpError = 1e-12;
inline double RoughExp(double x) {
  if (!(x >= -700)) return 0;
  const ExpParts parts(x);
  double power = 0;
  for (int k = 10; k >= 1; --k) power = (power + 1) * (parts.r * (1.0 / k));
  return (power + 1) * parts.two_to_n;
}

}  // namespace cleave
