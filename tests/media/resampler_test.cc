#include "media/resampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace cleave {
namespace {

std::vector<float> Resample(const std::vector<float>& in, double from, double to, size_t piece) {
  absl::StatusOr<Resampler> resampler = Resampler::Create(from, to);
  EXPECT_TRUE(resampler.ok());
  std::vector<float> out;
  for (size_t at = 0; at < in.size(); at += piece) {
    EXPECT_TRUE(resampler->Feed(absl::MakeConstSpan(in).subspan(at, piece), out).ok());
  }
  EXPECT_TRUE(resampler->Finish(out).ok());
  return out;
}

TEST(Resampler, PiecesDoNotMatter) {
  std::vector<float> in(30000);
  for (size_t i = 0; i < in.size(); ++i) in[i] = std::sin(0.01f * static_cast<float>(i));
  const std::vector<float> whole = Resample(in, 44100, 16000, in.size());
  for (const size_t piece : {1u, 17u, 4096u}) {
    EXPECT_EQ(Resample(in, 44100, 16000, piece), whole) << piece;
  }
}

TEST(Resampler, LengthIsWithinOneOfTheRatio) {
  for (const double rate : {8000.0, 22050.0, 44100.0, 48000.0}) {
    for (const size_t length : {1u, 2u, 99u, 5000u}) {
      const std::vector<float> out = Resample(std::vector<float>(length, 0.5f), rate, 16000, 64);
      EXPECT_NEAR(static_cast<double>(out.size()), static_cast<double>(length) * 16000 / rate, 1.0);
    }
  }
}

TEST(Resampler, NothingInNothingOut) { EXPECT_TRUE(Resample({}, 44100, 16000, 1).empty()); }

}  // namespace
}  // namespace cleave
