#include "media/audio_decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::Little;
using media_test::Pcm16;
using media_test::Verdict;
using media_test::WavFile;
using testing::ElementsAre;

std::vector<float> Decode(absl::string_view file) {
  absl::StatusOr<std::vector<float>> samples = DecodeAudio(file, MediaLimits());
  EXPECT_EQ(Verdict(samples.status()), "OK");
  return samples.ok() ? *std::move(samples) : std::vector<float>();
}

template <typename Float>
std::string FloatData(const std::vector<Float>& samples) {
  std::string data(samples.size() * sizeof(Float), '\0');
  std::memcpy(data.data(), samples.data(), data.size());
  return data;
}

TEST(AudioDecode, IntegersAreExactFractions) {
  EXPECT_THAT(Decode(WavFile(Pcm16({0, 1, -1, 32767, -32768}))),
              ElementsAre(0.0f, 1.0f / 32768, -1.0f / 32768, 32767.0f / 32768, -1.0f));
  EXPECT_THAT(Decode(WavFile(std::string("\x80\xff\x00\x81", 4), {.bits = 8})),
              ElementsAre(0.0f, 127.0f / 128, -1.0f, 1.0f / 128));
  EXPECT_THAT(Decode(WavFile(Little(1, 3) + Little(-8388608, 3), {.bits = 24})),
              ElementsAre(1.0f / 8388608, -1.0f));
  EXPECT_THAT(Decode(WavFile(Little(1 << 30, 4) + Little(-(int64_t{1} << 31), 4), {.bits = 32})),
              ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(Decode(WavFile(Pcm16({16384}), {.extensible = true})), ElementsAre(0.5f));
}

TEST(AudioDecode, FloatsAreAsGiven) {
  EXPECT_THAT(Decode(WavFile(FloatData<float>({0.1f, -3.5f, 65536.0f}), {.tag = 3, .bits = 32})),
              ElementsAre(0.1f, -3.5f, 65536.0f));
  EXPECT_THAT(Decode(WavFile(FloatData<double>({0.1, -0.25}), {.tag = 3, .bits = 64})),
              ElementsAre(0.1f, -0.25f));
}

TEST(AudioDecode, ChannelsAreAveraged) {
  EXPECT_THAT(Decode(WavFile(Pcm16({100, 300, -5, 5}), {.channels = 2})),
              ElementsAre(200.0f / 32768, 0.0f));
  EXPECT_THAT(Decode(WavFile(Pcm16({32767, 32767, 32767, 32767, 32767, 32767}), {.channels = 3})),
              ElementsAre(32767.0f / 32768, 32767.0f / 32768));
}

TEST(AudioDecode, SamplesThatAreNoSound) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), 65537.0f, -1e30f}) {
    for (const size_t at : {size_t{0}, size_t{9999}}) {
      for (const int64_t rate : {16000, 44100}) {
        std::vector<float> samples(10000, 0.1f);
        samples[at] = bad;
        const std::string file =
            WavFile(FloatData(samples), {.tag = 3, .sample_rate = rate, .bits = 32});
        EXPECT_EQ(Verdict(DecodeAudio(file, MediaLimits()).status()), "MEDIA_UNDECODABLE audio");
      }
    }
  }
  EXPECT_EQ(Verdict(DecodeAudio(WavFile(FloatData<double>({1e300}), {.tag = 3, .bits = 64}),
                                MediaLimits())
                        .status()),
            "MEDIA_UNDECODABLE audio");
}

std::string Sine(double hertz, int64_t rate, int64_t frames) {
  std::vector<float> samples;
  for (int64_t i = 0; i < frames; ++i) {
    samples.push_back(
        static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) /
                                          static_cast<double>(rate))));
  }
  return WavFile(FloatData(samples), {.tag = 3, .sample_rate = rate, .bits = 32});
}

TEST(AudioDecode, LengthIsAlwaysTheProbedOne) {
  for (const int64_t rate :
       {8000, 11025, 12000, 15999, 16000, 16001, 22050, 44100, 48000, 96000, 192000}) {
    for (const int64_t frames : {1, 2, 3, 7, 100, 4095, 4096, 4097, 12345, 50000}) {
      const std::string file = Sine(300, rate, frames);
      const absl::StatusOr<AudioInfo> info = ProbeAudio(file, MediaLimits());
      ASSERT_TRUE(info.ok());
      const std::vector<float> samples = Decode(file);
      EXPECT_EQ(static_cast<int64_t>(samples.size()), info->samples) << rate << " " << frames;
      const absl::StatusOr<AudioFrames> audio = PrepareAudio(file, MediaLimits());
      ASSERT_TRUE(audio.ok());
      EXPECT_EQ(audio->count(), info->tokens);
    }
  }
}

TEST(AudioDecode, ResamplingKeepsTheSound) {
  for (const int64_t rate : {8000, 22050, 44100, 48000, 192000}) {
    const std::vector<float> samples = Decode(Sine(440, rate, rate));
    ASSERT_EQ(samples.size(), 16000u);
    for (size_t i = 1000; i < 15000; ++i) {  // the ends ring: there is silence beyond them
      const double expected =
          0.5 * std::sin(2 * std::numbers::pi * 440 * static_cast<double>(i) / 16000);
      ASSERT_NEAR(samples[i], expected, 1e-5) << rate << " " << i;
    }
  }
}

TEST(AudioDecode, ResamplingRemovesWhatCannotBeHeard) {
  const std::vector<float> samples = Decode(Sine(12000, 48000, 48000));
  for (size_t i = 1000; i < 15000; ++i) ASSERT_NEAR(samples[i], 0.0, 1e-5) << i;
}

TEST(AudioDecode, IsDeterministic) {
  const std::string file = Sine(1234, 44100, 30000);
  EXPECT_EQ(Decode(file), Decode(file));
}

TEST(AudioDecode, TruncatedFilesGiveLessOrATypedError) {
  const std::string file = Sine(300, 44100, 60);
  size_t longest = 0;
  for (size_t size = 0; size < file.size(); ++size) {
    const absl::StatusOr<std::vector<float>> samples =
        DecodeAudio(absl::string_view(file).substr(0, size), MediaLimits());
    if (samples.ok()) {
      EXPECT_GE(samples->size(), longest);
      longest = samples->size();
    } else {
      EXPECT_EQ(Verdict(samples.status()), "MEDIA_UNDECODABLE audio") << size;
    }
  }
}

TEST(AudioDecode, FramesAreFilledWithZeros) {
  const absl::StatusOr<AudioFrames> audio =
      PrepareAudio(WavFile(Pcm16(std::vector<int>(641, 16384))), MediaLimits());
  ASSERT_TRUE(audio.ok());
  ASSERT_EQ(audio->count(), 2);
  EXPECT_THAT(audio->frame(0), testing::Each(0.5f));
  EXPECT_EQ(audio->frame(1)[0], 0.5f);
  EXPECT_THAT(audio->frame(1).subspan(1), testing::Each(0.0f));
}

TEST(AudioDecode, FilesThatClaimFourGigabytes) {
  EXPECT_EQ(Decode(WavFile(Pcm16({1, 2}), {.claimed_bytes = 0xffffffff})).size(), 2u);
  EXPECT_EQ(Decode(WavFile(Pcm16({1, 2}), {.claimed_bytes = 0xfffffffe})).size(), 2u);
}

}  // namespace
}  // namespace cleave
