#include "media/video_frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cleave {
namespace {

using testing::ElementsAre;

TEST(VideoFrames, AreSpreadEvenly) {
  EXPECT_THAT(SampleFrames(7, 4), ElementsAre(0, 1, 3, 5));
  EXPECT_THAT(SampleFrames(900, 3), ElementsAre(0, 300, 600));
  EXPECT_THAT(SampleFrames(3, 1), ElementsAre(0));
}

TEST(VideoFrames, AllWhenThereAreNotMore) {
  EXPECT_THAT(SampleFrames(3, 3), ElementsAre(0, 1, 2));
  EXPECT_THAT(SampleFrames(3, 32), ElementsAre(0, 1, 2));
  EXPECT_THAT(SampleFrames(1, 32), ElementsAre(0));
}

TEST(VideoFrames, TimesAreRoundedDown) {
  EXPECT_EQ(WholeSeconds(FrameSeconds(0, 24)), 0);
  EXPECT_EQ(WholeSeconds(FrameSeconds(23, 24)), 0);
  EXPECT_EQ(WholeSeconds(FrameSeconds(24, 24)), 1);
  EXPECT_EQ(WholeSeconds(FrameSeconds(3, 0.5)), 6);
  EXPECT_EQ(WholeSeconds(FrameSeconds(1744, 29.97)), 58);
}

}  // namespace
}  // namespace cleave
