#include "media/media_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::Verdict;

TEST(MediaLimits, DefaultsAreAllowed) { EXPECT_EQ(Verdict(ValidateMediaLimits({})), "OK"); }

TEST(MediaLimits, ConfigurationIsChecked) {
  MediaLimits limits;
  limits.audio_seconds_max = kAudioSecondsHardMax;
  EXPECT_EQ(Verdict(ValidateMediaLimits(limits)), "OK");
  limits.audio_seconds_max = kAudioSecondsHardMax + 1;
  EXPECT_EQ(Verdict(ValidateMediaLimits(limits)), "FIELD_INVALID audio_seconds_max");
  limits = {};
  limits.image_pixels_max = 0;
  EXPECT_EQ(Verdict(ValidateMediaLimits(limits)), "FIELD_INVALID image_pixels_max");
  limits = {};
  limits.audio_rate_min = limits.audio_rate_max + 1;
  EXPECT_EQ(Verdict(ValidateMediaLimits(limits)), "FIELD_INVALID audio_rate_min");
}

TEST(MediaLimits, EachIsAllowedAtTheLimitAndRefusedBeyond) {
  const MediaLimits limits;
  EXPECT_EQ(Verdict(CheckImageBytes(20 << 20, limits)), "OK");
  EXPECT_EQ(Verdict(CheckImageBytes((20 << 20) + 1, limits)), "MEDIA_LIMIT image.bytes");
  EXPECT_EQ(Verdict(CheckImageSize(16384, 1, limits)), "OK");
  EXPECT_EQ(Verdict(CheckImageSize(16385, 1, limits)), "MEDIA_LIMIT image.width");
  EXPECT_EQ(Verdict(CheckImageSize(1, 16384, limits)), "OK");
  EXPECT_EQ(Verdict(CheckImageSize(1, 16385, limits)), "MEDIA_LIMIT image.height");
  EXPECT_EQ(Verdict(CheckImageSize(8000, 5000, limits)), "OK");
  EXPECT_EQ(Verdict(CheckImageSize(8000, 5001, limits)), "MEDIA_LIMIT image.pixels");
  EXPECT_EQ(Verdict(CheckAudioBytes(50 << 20, limits)), "OK");
  EXPECT_EQ(Verdict(CheckAudioBytes((50 << 20) + 1, limits)), "MEDIA_LIMIT audio.bytes");
  EXPECT_EQ(Verdict(CheckAudioFormat(8, 8000, limits)), "OK");
  EXPECT_EQ(Verdict(CheckAudioFormat(9, 8000, limits)), "MEDIA_LIMIT audio.channels");
  EXPECT_EQ(Verdict(CheckAudioFormat(1, 7999, limits)), "MEDIA_LIMIT audio.sample_rate");
  EXPECT_EQ(Verdict(CheckAudioFormat(1, 192000, limits)), "OK");
  EXPECT_EQ(Verdict(CheckAudioFormat(1, 192001, limits)), "MEDIA_LIMIT audio.sample_rate");
  EXPECT_EQ(Verdict(CheckAudioLength(30 * 44100, 44100, limits)), "OK");
  EXPECT_EQ(Verdict(CheckAudioLength(30 * 44100 + 1, 44100, limits)), "MEDIA_LIMIT audio.seconds");
}

TEST(MediaLimits, ErrorsSayWhatIsAllowed) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(CheckImageSize(20000, 10, {}));
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->limit, "at most 16384 pixels");
  EXPECT_EQ(detail->actual, "20000 pixels");
  const auto sound = GetErrorDetail(CheckAudioLength(30 * 44100 + 1, 44100, {}));
  ASSERT_TRUE(sound.has_value());
  EXPECT_EQ(sound->limit, "at most 30 s");
  EXPECT_EQ(sound->actual, "30.001 s");
}

}  // namespace
}  // namespace cleave
