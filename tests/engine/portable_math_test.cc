#include "engine/portable_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace cleave {
namespace {

constexpr double kTwoUnits = 4.5e-16;

TEST(PortableMathTest, LogIsTheLibrarys) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> exponent(-700, 700);
  for (int i = 0; i < 200'000; ++i) {
    const double x = std::exp(exponent(random));
    ASSERT_NEAR(PortableLog(x), std::log(x), kTwoUnits * std::abs(std::log(x))) << x;
  }
  // What uniform draws give: next to 0 and next to 1.
  for (uint64_t word = 0; word < 1ull << 32; word += 65'521) {
    const double x = (static_cast<double>(word) + 0.5) / 4294967296.0;
    ASSERT_NEAR(PortableLog(x), std::log(x), kTwoUnits * std::abs(std::log(x))) << x;
  }
  EXPECT_EQ(PortableLog(1), 0);
}

TEST(PortableMathTest, ExpIsTheLibrarys) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> any(-700, 700), small(-1, 1);
  for (int i = 0; i < 200'000; ++i) {
    for (const double x : {any(random), small(random)}) {
      ASSERT_NEAR(PortableExp(x), std::exp(x), kTwoUnits * std::exp(x)) << x;
      ASSERT_NEAR(RoughExp(x), std::exp(x), kRoughExpError * std::exp(x)) << x;
    }
  }
  EXPECT_EQ(PortableExp(0), 1);
  EXPECT_EQ(PortableExp(-701), 0);
  EXPECT_EQ(PortableExp(-INFINITY), 0);
  EXPECT_EQ(RoughExp(-INFINITY), 0);
}

}  // namespace
}  // namespace cleave
