#include "media/audio_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

using media_test::Little;
using media_test::Pcm16;
using media_test::Verdict;
using media_test::WavFile;
using media_test::WavOptions;

std::string Probe(absl::string_view file, const MediaLimits& limits = {}) {
  return Verdict(ProbeAudio(file, limits).status());
}

std::string Silence(int64_t frames, const WavOptions& options = {}) {
  return WavFile(std::string(static_cast<size_t>(frames * options.channels * options.bits / 8), 0),
                 options);
}

int64_t Frames(absl::string_view file) {
  const absl::StatusOr<AudioInfo> info = ProbeAudio(file, MediaLimits());
  EXPECT_EQ(Verdict(info.status()), "OK");
  return info.ok() ? info->frames : -1;
}

TEST(AudioProbe, CountsTokens) {
  struct {
    int64_t frames, tokens;
  } cases[] = {{1, 1},      {640, 1},     {641, 2},      {800, 2},      {16000, 25},
               {16160, 26}, {80000, 125}, {160000, 250}, {479840, 750}, {480000, 750}};
  for (const auto& entry : cases) {
    const auto info = ProbeAudio(Silence(entry.frames), MediaLimits());
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->frames, entry.frames);
    EXPECT_EQ(info->samples, entry.frames);
    EXPECT_EQ(info->tokens, entry.tokens);
  }
}

TEST(AudioProbe, SamplesAreRoundedUp) {
  struct {
    int64_t rate, frames, samples;
  } cases[] = {{8000, 1, 2},          {8000, 320, 640}, {44100, 1, 1}, {44100, 44100, 16000},
               {44100, 44101, 16001}, {48000, 3, 1},    {48000, 4, 2}, {192000, 13, 2},
               {11025, 11024, 15999}, {22050, 7, 6}};
  for (const auto& entry : cases) {
    const auto info = ProbeAudio(Silence(entry.frames, {.sample_rate = entry.rate}), MediaLimits());
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->samples, entry.samples) << entry.rate;
  }
}

TEST(AudioProbe, ReadsEveryFormat) {
  struct {
    int tag, bits;
    SampleFormat format;
  } cases[] = {{1, 8, SampleFormat::kPcm8},     {1, 16, SampleFormat::kPcm16},
               {1, 24, SampleFormat::kPcm24},   {1, 32, SampleFormat::kPcm32},
               {3, 32, SampleFormat::kFloat32}, {3, 64, SampleFormat::kFloat64}};
  for (const auto& entry : cases) {
    for (const bool extensible : {false, true}) {
      const std::string file = Silence(
          10, {.tag = entry.tag, .channels = 3, .bits = entry.bits, .extensible = extensible});
      const auto info = ProbeAudio(file, MediaLimits());
      ASSERT_TRUE(info.ok()) << info.status();
      EXPECT_EQ(info->format, entry.format);
      EXPECT_EQ(info->channels, 3);
      EXPECT_EQ(info->frames, 10);
      EXPECT_EQ(info->data_offset + info->data_bytes, static_cast<int64_t>(file.size()));
    }
  }
  // 20 bits in the high bits of three bytes.
  EXPECT_EQ(Frames(WavFile(std::string(30, 0), {.bits = 20, .container_bits = 24})), 10);
}

TEST(AudioProbe, LimitsHoldAtTheLimitAndOneOver) {
  const std::string file = Silence(100);
  const auto bytes = static_cast<int64_t>(file.size());
  EXPECT_EQ(Probe(file, {.audio_bytes_max = bytes}), "OK");
  EXPECT_EQ(Probe(file, {.audio_bytes_max = bytes - 1}), "MEDIA_LIMIT audio.bytes");
  EXPECT_EQ(Probe(Silence(480000)), "OK");
  EXPECT_EQ(Probe(Silence(480001)), "MEDIA_LIMIT audio.seconds");
  EXPECT_EQ(Probe(Silence(480001), {.audio_seconds_max = 31}), "OK");
  EXPECT_EQ(Probe(Silence(4, {.channels = 8})), "OK");
  EXPECT_EQ(Probe(Silence(4, {.channels = 9})), "MEDIA_LIMIT audio.channels");
  EXPECT_EQ(Probe(Silence(4, {.sample_rate = 8000})), "OK");
  EXPECT_EQ(Probe(Silence(4, {.sample_rate = 7999})), "MEDIA_LIMIT audio.sample_rate");
  EXPECT_EQ(Probe(Silence(4, {.sample_rate = 192000})), "OK");
  EXPECT_EQ(Probe(Silence(4, {.sample_rate = 192001})), "MEDIA_LIMIT audio.sample_rate");
  EXPECT_EQ(Probe(Silence(4, {.sample_rate = 0})), "MEDIA_LIMIT audio.sample_rate");
}

TEST(AudioProbe, SizesThatLieEndWithTheFile) {
  const std::string data = Pcm16({1, 2, 3, 4, 5});
  EXPECT_EQ(Frames(WavFile(data, {.claimed_bytes = 0xfffffff0})), 5);
  EXPECT_EQ(Frames(WavFile(data, {.claimed_bytes = 0xffffffff, .claimed_riff = 0xffffffff})), 5);
  EXPECT_EQ(Frames(WavFile(data, {.claimed_bytes = 6})), 3);
  EXPECT_EQ(Frames(WavFile(data, {.claimed_bytes = 5})), 2);  // half a frame is none
  EXPECT_EQ(Frames(WavFile(data, {.claimed_riff = 7})), 5);
  // Recordings whose header was never brought up to date.
  EXPECT_EQ(Frames(WavFile(data, {.claimed_bytes = 0, .claimed_riff = 0})), 5);
  EXPECT_EQ(Frames(WavFile(data, {.claimed_bytes = 0, .claimed_riff = 36})), 5);
}

TEST(AudioProbe, PassesOverOtherChunks) {
  const std::string odd = absl::StrCat("LIST", Little(3, 4), "abc", absl::string_view("\0", 1));
  EXPECT_EQ(Frames(WavFile(Pcm16({1, 2, 3}), {.before_data = odd, .after_data = odd})), 3);
  const std::string endless = absl::StrCat("LIST", Little(0xffffffff, 4));
  EXPECT_EQ(Probe(WavFile(Pcm16({1, 2}), {.before_data = endless})), "MEDIA_UNDECODABLE audio");
}

TEST(AudioProbe, SoundsWithoutSamples) {
  EXPECT_EQ(Probe(""), "MEDIA_UNDECODABLE audio");
  EXPECT_EQ(Probe(WavFile("")), "MEDIA_UNDECODABLE audio");
  EXPECT_EQ(Probe(WavFile("a")), "MEDIA_UNDECODABLE audio");
  // An honest 0 with something else behind it.
  EXPECT_EQ(Probe(WavFile("", {.after_data = absl::StrCat("LIST", Little(4, 4), "abcd")})),
            "MEDIA_UNDECODABLE audio");
}

TEST(AudioProbe, KindsThatAreNotRead) {
  const auto bytes = [](const char* text, size_t size) {
    return std::string(text, size) + std::string(40, '\0');
  };
  const struct {
    std::string file, name;
  } cases[] = {
      {bytes("\xff\xd8\xff\xe0", 4), "a picture (JPEG)"},
      {bytes("\xff\xf1\x50", 3), "AAC"},
      {bytes("\xff\xfd\x90", 3), "MPEG audio of layer II"},
      {bytes("RF64\xff\xff\xff\xffWAVE", 12), "RF64"},
      {bytes("RIFX\0\0\0\x10WAVE", 12), "a big-endian WAV"},
      {bytes("FORM\0\0\0\x10"
             "AIFF",
             12),
       "AIFF"},
      {bytes("\0\0\0\x18"
             "ftypM4A ",
             12),
       "MP4 (AAC) or another ISO media file"},
      {Silence(4, {.tag = 2}), "a WAV of ADPCM"},
      {Silence(4, {.tag = 7, .bits = 8}), "a WAV of A-law or mu-law"},
      {Silence(4, {.tag = 0x55}), "a WAV of MPEG audio"},
      {Silence(4, {.tag = 1, .bits = 64}), "a WAV of 64-bit PCM"},
      {Silence(4, {.tag = 3, .bits = 16}), "a WAV of 16-bit floating point"},
  };
  for (const auto& entry : cases) {
    const absl::Status status = ProbeAudio(entry.file, MediaLimits()).status();
    EXPECT_EQ(Verdict(status), "MEDIA_UNSUPPORTED audio") << entry.name;
    EXPECT_EQ(GetErrorDetail(status)->actual, entry.name);
  }
}

TEST(AudioProbe, DamagedHeaders) {
  EXPECT_EQ(Probe("RIFF"), "MEDIA_UNDECODABLE audio");
  EXPECT_EQ(Probe(std::string(100, 'x')), "MEDIA_UNDECODABLE audio");
  EXPECT_EQ(Probe(Silence(4, {.channels = 0})), "MEDIA_UNDECODABLE audio");
  std::string zero_block = Silence(4);
  zero_block.replace(32, 2, std::string(2, '\0'));
  EXPECT_EQ(Probe(zero_block), "MEDIA_UNDECODABLE audio");
  std::string no_format = Silence(4);
  no_format.replace(12, 4, "xxxx");
  EXPECT_EQ(Probe(no_format), "MEDIA_UNDECODABLE audio");
}

TEST(AudioProbe, EveryTruncationHasATypedVerdict) {
  for (const bool extensible : {false, true}) {
    const std::string file =
        WavFile(Pcm16({1, 2, 3, 4}), {.channels = 2, .extensible = extensible});
    const size_t data_at = file.size() - 8;
    for (size_t size = 0; size < file.size(); ++size) {
      const bool whole_frame = size >= data_at + 4;
      EXPECT_EQ(Probe(file.substr(0, size)), whole_frame ? "OK" : "MEDIA_UNDECODABLE audio")
          << size;
    }
  }
}

}  // namespace
}  // namespace cleave
