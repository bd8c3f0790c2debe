#include "prefill/chunking.h"

#include <gtest/gtest.h>

#include <random>

namespace cleave {
namespace {

TEST(ChunkingTest, CutsTextAnywhere) {
  EXPECT_EQ(ChunkEnd({}, 100, 0, 64), 64);
  EXPECT_EQ(ChunkEnd({}, 100, 64, 64), 100);
}

TEST(ChunkingTest, EndsBeforeAPictureThatDoesNotFit) {
  const SoftSpan picture{.kind = SoftKind::kImage, .first_position = 10, .tokens = 20};
  EXPECT_EQ(ChunkEnd({picture}, 100, 0, 15), 10);
  EXPECT_EQ(ChunkEnd({picture}, 100, 0, 30), 30);
}

TEST(ChunkingTest, StretchesOverAPictureThatComesFirst) {
  const SoftSpan picture{.kind = SoftKind::kImage, .first_position = 10, .tokens = 20};
  EXPECT_EQ(ChunkEnd({picture}, 100, 10, 1), 30);
}

TEST(ChunkingTest, CutsSoundsAnywhere) {
  const SoftSpan sound{.kind = SoftKind::kAudio, .first_position = 10, .tokens = 20};
  EXPECT_EQ(ChunkEnd({sound}, 100, 0, 15), 15);
}

// Random prompts: the chunks cover the prompt, none is empty, and none ends inside a picture.
TEST(ChunkingTest, RandomPromptsAreCoveredWithoutCuttingAPicture) {
  constexpr uint64_t kSeed = 5;
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " round " << round);
    std::vector<SoftSpan> media;
    int64_t end = 0;
    for (uint64_t i = random() % 4; i > 0; --i) {
      const int64_t first = end + static_cast<int64_t>(random() % 5);
      const int64_t tokens = 1 + static_cast<int64_t>(random() % 30);
      media.push_back({.kind = random() % 2 == 0 ? SoftKind::kImage : SoftKind::kAudio,
                       .first_position = first,
                       .tokens = tokens});
      end = first + tokens;
    }
    const int64_t positions = end + 1 + static_cast<int64_t>(random() % 20);
    for (int64_t begin = 0; begin < positions;) {
      const int64_t next =
          ChunkEnd(media, positions, begin, 1 + static_cast<int64_t>(random() % 16));
      ASSERT_GT(next, begin);
      ASSERT_LE(next, positions);
      for (const SoftSpan& span : media) {
        if (span.kind != SoftKind::kImage) continue;
        ASSERT_FALSE(span.first_position < next && next < span.end());
      }
      begin = next;
    }
  }
}

}  // namespace
}  // namespace cleave
