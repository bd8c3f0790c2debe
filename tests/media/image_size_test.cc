#include "media/image_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::Verdict;

struct SizeCase {
  int height, width;
  struct {
    int height, width, tokens;
  } by_budget[5];  // in the order of kImageBudgets
};

constexpr SizeCase kSizeCases[] = {
    {480,
     640,
     {{336, 432, 63}, {480, 624, 130}, {672, 912, 266}, {960, 1296, 540}, {1344, 1824, 1064}}},
    {3024,
     4032,
     {{336, 432, 63}, {480, 624, 130}, {672, 912, 266}, {960, 1296, 540}, {1344, 1824, 1064}}},
    {720,
     1280,
     {{288, 528, 66}, {384, 720, 120}, {576, 1056, 264}, {816, 1488, 527}, {1200, 2112, 1100}}},
    {1080,
     1920,
     {{288, 528, 66}, {384, 720, 120}, {576, 1056, 264}, {816, 1488, 527}, {1200, 2112, 1100}}},
    {1920,
     1080,
     {{528, 288, 66}, {720, 384, 120}, {1056, 576, 264}, {1488, 816, 527}, {2112, 1200, 1100}}},
    {1170,
     2532,
     {{240, 576, 60}, {384, 816, 136}, {528, 1152, 264}, {768, 1632, 544}, {1056, 2352, 1078}}},
    {2480,
     1754,
     {{432, 336, 63}, {672, 432, 126}, {912, 672, 266}, {1344, 912, 532}, {1872, 1344, 1092}}},
    {100,
     1000,
     {{96, 1248, 52}, {144, 1776, 111}, {240, 2496, 260}, {336, 3552, 518}, {480, 5040, 1050}}},
    {2000,
     300,
     {{1008, 144, 63}, {1440, 192, 120}, {2064, 288, 258}, {2928, 432, 549}, {4128, 576, 1032}}},
    {20,
     30000,
     {{48, 3360, 70}, {48, 6720, 140}, {48, 13440, 280}, {48, 26880, 560}, {48, 53760, 1120}}},
};

TEST(ImageSize, FollowsTheSpecification) {
  for (const SizeCase& entry : kSizeCases) {
    for (int i = 0; i < 5; ++i) {
      const auto size = ComputeTargetImageSize(entry.height, entry.width, kImageBudgets[i]);
      ASSERT_TRUE(size.ok());
      const auto& expected = entry.by_budget[i];
      EXPECT_EQ(size->height, expected.height) << entry.height << " " << kImageBudgets[i];
      EXPECT_EQ(size->width, expected.width) << entry.height << " " << kImageBudgets[i];
      EXPECT_EQ(size->tokens, expected.tokens) << entry.height << " " << kImageBudgets[i];
      EXPECT_EQ(size->rows * 48, size->height);
      EXPECT_EQ(size->columns * 48, size->width);
    }
  }
}

TEST(ImageSize, SquaresAreScaledToTheBudgetWhateverTheirSize) {
  constexpr int kSides[] = {384, 528, 768, 1104, 1584};
  for (const int side : {1, 2, 48, 49, 384, 768, 1000, 1024}) {
    for (int i = 0; i < 5; ++i) {
      const auto size = ComputeTargetImageSize(side, side, kImageBudgets[i]);
      ASSERT_TRUE(size.ok());
      EXPECT_EQ(size->height, kSides[i]);
      EXPECT_EQ(size->width, kSides[i]);
      EXPECT_EQ(size->tokens, (kSides[i] / 48) * (kSides[i] / 48));
    }
  }
}

TEST(ImageSize, OtherGrids) {
  struct {
    ImageGrid grid;
    int patches_max, height, width, expected_height, expected_width;
  } cases[] = {
      {{16, 1}, 256, 512, 512, 256, 256},  {{10, 1}, 200, 25, 10000, 10, 2000},
      {{16, 6}, 2304, 2785, 34, 6144, 96}, {{4, 2}, 64, 50, 1000, 8, 128},
      {{5, 3}, 100, 100, 100, 45, 45},     {{5, 3}, 20, 5, 100, 15, 30},
  };
  for (const auto& entry : cases) {
    const auto size = FitToPatches(entry.height, entry.width, entry.patches_max, entry.grid);
    ASSERT_TRUE(size.ok());
    EXPECT_EQ(size->height, entry.expected_height);
    EXPECT_EQ(size->width, entry.expected_width);
  }
}

TEST(ImageSize, NeverBeyondTheBudget) {
  for (int height = 1; height <= 16384; height = height * 5 / 3 + 1) {
    for (int width = 1; width <= 16384; width = width * 7 / 4 + 1) {
      for (const int budget : kImageBudgets) {
        const auto size = ComputeTargetImageSize(height, width, budget);
        ASSERT_TRUE(size.ok()) << height << " " << width;
        EXPECT_GE(size->tokens, 1);
        EXPECT_LE(size->tokens, budget);
      }
    }
  }
}

TEST(ImageSize, OtherBudgetsAreRefused) {
  for (const int budget : {-1, 0, 1, 69, 71, 281, 1121, 1 << 30}) {
    const absl::Status status = ComputeTargetImageSize(100, 100, budget).status();
    EXPECT_EQ(Verdict(status), "FIELD_INVALID image.budget");
    EXPECT_EQ(GetErrorDetail(status)->limit, "70, 140, 280, 560, 1120");
  }
}

TEST(ImageSize, NoPixelsAndNoTileAreErrors) {
  EXPECT_EQ(Verdict(ComputeTargetImageSize(0, 5, 280).status()), "FIELD_INVALID image.size");
  EXPECT_EQ(Verdict(FitToPatches(100, 100, 8, {16, 3}).status()), "FIELD_INVALID image.size");
}

}  // namespace
}  // namespace cleave
