// runtime/base/bfloat16.h, random.h and clock.h.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "runtime/base/bfloat16.h"
#include "runtime/base/clock.h"
#include "runtime/base/random.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

using Words = std::array<uint32_t, 4>;

uint16_t Bits(float value) { return static_cast<uint16_t>(ToBFloat16(value)); }

TEST(BFloat16Test, RoundsToNearestTiesToEven) {
  EXPECT_EQ(Bits(1.0f), 0x3f80);
  EXPECT_EQ(Bits(-2.0f), 0xc000);
  EXPECT_EQ(Bits(std::bit_cast<float>(0x3f808000u)), 0x3f80) << "tie, even below";
  EXPECT_EQ(Bits(std::bit_cast<float>(0x3f818000u)), 0x3f82) << "tie, even above";
  EXPECT_EQ(Bits(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(Bits(std::bit_cast<float>(0x3f807fffu)), 0x3f80);
}

TEST(BFloat16Test, SpecialValues) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Bits(0.0f), 0x0000);
  EXPECT_EQ(Bits(-0.0f), 0x8000);
  EXPECT_EQ(Bits(infinity), 0x7f80);
  EXPECT_EQ(Bits(-infinity), 0xff80);
  EXPECT_EQ(Bits(std::numeric_limits<float>::max()), 0x7f80) << "rounds up to infinity";
  EXPECT_TRUE(std::isnan(RoundToBFloat16(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(RoundToBFloat16(std::bit_cast<float>(0x7f800001u)))) << "stays NaN";
  EXPECT_EQ(Bits(std::bit_cast<float>(0x00000001u)), 0x0000) << "smallest subnormal";
}

TEST(BFloat16Test, EveryValueIsItsOwnRounding) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = ToFloat(BFloat16{static_cast<uint16_t>(bits)});
    if (!std::isnan(value)) {
      ASSERT_EQ(Bits(value), bits);
    }
  }
}

TEST(BFloat16Test, ResultIsANeighbour) {
  RandomWalk walk(FirstSeed());
  for (int i = 0; i < 100'000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(walk.Bits()));
    if (!std::isfinite(value) || !std::isfinite(RoundToBFloat16(value))) continue;
    const uint32_t low = std::bit_cast<uint32_t>(value) & 0xffff0000u;
    const double below = std::bit_cast<float>(low);
    const double above = std::bit_cast<float>(low + 0x10000u);
    const double error = std::abs(RoundToBFloat16(value) - static_cast<double>(value));
    ASSERT_LE(error, std::abs(value - below)) << value;
    if (std::isfinite(above)) {
      ASSERT_LE(error, std::abs(value - above)) << value;
    }
  }
}

// From kat_vectors of the Random123 library: philox4x32, 10 rounds.
TEST(PhiloxTest, KnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomSeedTest, DiffersFromCallToCall) { EXPECT_NE(RandomSeed(), RandomSeed()); }

TEST(ClockTest, NeverGoesBackwards) {
  const RealClock clock;
  absl::Time last = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const absl::Time now = clock.Now();
    ASSERT_GE(now, last);
    last = now;
  }
  SimulatedClock simulated;
  const absl::Time begin = simulated.Now();
  simulated.Advance(absl::Seconds(3));
  EXPECT_EQ(simulated.Now() - begin, absl::Seconds(3));
}

}  // namespace
}  // namespace cleave
