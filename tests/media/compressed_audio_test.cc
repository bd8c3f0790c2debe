// FLAC, Ogg and MP3: what the probe states is what the decoder gives, and files that lie are
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "absl/strings/str_cat.h"
#include "media/audio_decode.h"
#include "media/vorbis_setup.h"
#include "tests/media/media_files.h"
#include "tests/media/sound_files.h"

namespace cleave {
namespace {

using media_test::JoinOggPages;
using media_test::OggPages;
using media_test::SoundFile;
using media_test::SoundOptions;
using media_test::Tone;
using media_test::Verdict;

constexpr AudioKind kKinds[] = {AudioKind::kFlac, AudioKind::kVorbis, AudioKind::kOpus,
                                AudioKind::kMp3};

std::string ToneFile(AudioKind kind, int64_t frames, const SoundOptions& options = {}) {
  return SoundFile(kind, Tone(frames, options), options);
}

std::string Probe(absl::string_view file, const MediaLimits& limits = {}) {
  return Verdict(ProbeAudio(file, limits).status());
}
std::string Decoded(absl::string_view file) {
  return Verdict(DecodeAudio(file, MediaLimits()).status());
}

// Samples after decoding; that they are as many as the probe says is checked.
std::vector<float> Decode(absl::string_view file) {
  const absl::StatusOr<AudioInfo> info = ProbeAudio(file, MediaLimits());
  EXPECT_EQ(Verdict(info.status()), "OK");
  absl::StatusOr<std::vector<float>> samples = DecodeAudio(file, MediaLimits());
  EXPECT_EQ(Verdict(samples.status()), "OK");
  if (!info.ok() || !samples.ok()) return {};
  EXPECT_EQ(static_cast<int64_t>(samples->size()), info->samples);
  return *std::move(samples);
}

TEST(CompressedAudio, LengthIsExactForEveryKindRateAndLength) {
  for (const AudioKind kind : kKinds) {
    for (const int rate : {8000, 12000, 16000, 24000, 44100, 48000}) {
      if (kind == AudioKind::kOpus && rate == 44100) continue;
      for (const int channels : {1, 2}) {
        for (const int64_t frames : {1000, 4001, 40000}) {
          const SoundOptions options{.channels = channels, .sample_rate = rate};
          const std::string file = ToneFile(kind, frames, options);
          const absl::StatusOr<AudioInfo> info = ProbeAudio(file, MediaLimits());
          ASSERT_EQ(Verdict(info.status()), "OK") << AudioKindName(kind) << " " << rate;
          EXPECT_EQ(info->kind, kind);
          EXPECT_EQ(info->channels, channels);
          const int64_t decoded_rate = kind == AudioKind::kOpus ? 48000 : rate;
          EXPECT_EQ(info->sample_rate, decoded_rate);
          EXPECT_EQ(info->frames, frames * decoded_rate / rate)
              << AudioKindName(kind) << " " << rate;
          EXPECT_FALSE(Decode(file).empty());
        }
      }
    }
  }
}

TEST(CompressedAudio, TheSoundIsTheSound) {
  for (const AudioKind kind : kKinds) {
    for (const int rate : {16000, 48000}) {
      const std::vector<float> samples = Decode(ToneFile(kind, rate, {.sample_rate = rate}));
      ASSERT_EQ(samples.size(), 16000u) << AudioKindName(kind);
      double error = 0;
      for (size_t i = 1000; i < 15000; ++i) {
        const double phase = 2 * std::numbers::pi * 440 * static_cast<double>(i) / 16000;
        error += std::abs(static_cast<double>(samples[i]) - 0.5 * std::sin(phase));
      }
      EXPECT_LT(error / 14000, kind == AudioKind::kFlac ? 2e-5 : 0.03) << AudioKindName(kind);
    }
  }
}

TEST(CompressedAudio, FlacIsExactInEveryDepth) {
  const std::vector<float> samples = {0.0f, 0.5f, -1.0f, 0.25f, -0.5f, 0.75f};
  for (const int bits : {8, 16, 24}) {
    const SoundOptions options{.channels = 1, .flac_bits = bits};
    EXPECT_EQ(Decode(SoundFile(AudioKind::kFlac, samples, options)), samples) << bits;
  }
  std::vector<float> surround(8 * 100, 0.5f);
  const std::vector<float> mono =
      Decode(SoundFile(AudioKind::kFlac, surround, {.channels = 8, .sample_rate = 16000}));
  EXPECT_THAT(mono, testing::Each(0.5f));
}

TEST(CompressedAudio, ManyChannels) {
  for (const AudioKind kind : {AudioKind::kFlac, AudioKind::kVorbis, AudioKind::kOpus}) {
    for (const int channels : {3, 5, 8}) {  // of 6 the encoder of Vorbis loses memory
      const SoundOptions options{.channels = channels, .sample_rate = 48000};
      EXPECT_EQ(Decode(ToneFile(kind, 4800, options)).size(), 1600u)
          << AudioKindName(kind) << " " << channels;
    }
  }
}

TEST(CompressedAudio, LimitsHoldAtTheLimitAndOneOver) {
  for (const AudioKind kind : kKinds) {
    const SoundOptions stereo{.channels = 2, .sample_rate = 48000};
    const std::string second = ToneFile(kind, 48000, stereo);
    const std::string longer = ToneFile(kind, 48001, stereo);
    EXPECT_EQ(Probe(second, {.audio_seconds_max = 1}), "OK");
    EXPECT_EQ(Probe(longer, {.audio_seconds_max = 1}), "MEDIA_LIMIT audio.seconds");
    EXPECT_EQ(Probe(second, {.audio_channels_max = 2}), "OK");
    EXPECT_EQ(Probe(second, {.audio_channels_max = 1}), "MEDIA_LIMIT audio.channels");
    EXPECT_EQ(Probe(second, {.audio_rate_max = 48000}), "OK");
    EXPECT_EQ(Probe(second, {.audio_rate_max = 47999}), "MEDIA_LIMIT audio.sample_rate");
    const auto bytes = static_cast<int64_t>(second.size());
    EXPECT_EQ(Probe(second, {.audio_bytes_max = bytes}), "OK");
    EXPECT_EQ(Probe(second, {.audio_bytes_max = bytes - 1}), "MEDIA_LIMIT audio.bytes");
  }
}

// ---- Lengths that are not stated, or are wrong.

constexpr size_t kFlacLengthAt = 8 + 13;  // its low nibble and the four bytes behind

TEST(CompressedAudio, FlacThatDoesNotStateItsLength) {
  std::string file = ToneFile(AudioKind::kFlac, 5000);
  file.replace(kFlacLengthAt + 1, 4, 4, '\0');
  EXPECT_EQ(Probe(file), "MEDIA_UNSUPPORTED audio");
}

TEST(CompressedAudio, FlacThatClaimsMoreOrLess) {
  std::string file = ToneFile(AudioKind::kFlac, 5000);
  file[kFlacLengthAt + 4]++;  // 5001
  EXPECT_EQ(Probe(file), "OK");
  EXPECT_EQ(Decoded(file), "MEDIA_UNDECODABLE audio");
  file[kFlacLengthAt + 4] -= 2;  // 4999: as far as it says
  EXPECT_EQ(Decode(file).size(), 4999u);
  file[kFlacLengthAt] = static_cast<char>(file[kFlacLengthAt] | 0x0f);
  EXPECT_EQ(Probe(file), "MEDIA_LIMIT audio.seconds");
}

TEST(CompressedAudio, OggThatClaimsMoreThanItHas) {
  for (const AudioKind kind : {AudioKind::kVorbis, AudioKind::kOpus}) {
    std::vector<std::string> pages = OggPages(ToneFile(kind, 16000));
    const int64_t last = media_test::OggPosition(pages.back());
    media_test::SetOggPosition(last - 1, pages.back());  // the encoder's padding is cut off so
    Decode(JoinOggPages(pages));
    media_test::SetOggPosition(last + 100'000, pages.back());
    EXPECT_EQ(Probe(JoinOggPages(pages)), "OK");
    EXPECT_EQ(Decoded(JoinOggPages(pages)), "MEDIA_UNDECODABLE audio");
    media_test::SetOggPosition(int64_t{1} << 39, pages.back());
    EXPECT_EQ(Probe(JoinOggPages(pages)), "MEDIA_LIMIT audio.seconds");
    media_test::SetOggPosition(int64_t{1} << 62, pages.back());
    EXPECT_EQ(Probe(JoinOggPages(pages)), "MEDIA_UNDECODABLE audio");
    media_test::SetOggPosition(-1, pages.back());
    EXPECT_NE(Probe(JoinOggPages(pages)), "OK");
  }
}

TEST(CompressedAudio, OggIsOneStreamFromItsBeginning) {
  for (const AudioKind kind : {AudioKind::kVorbis, AudioKind::kOpus}) {
    const std::string file = ToneFile(kind, 16000);
    const std::vector<std::string> pages = OggPages(file);
    ASSERT_GE(pages.size(), 3u);
    EXPECT_EQ(Probe(file + file), "MEDIA_UNDECODABLE audio");  // chained
    EXPECT_EQ(Probe(absl::StrCat(file, "behind")), "MEDIA_UNDECODABLE audio");
    std::vector<std::string> hole = pages;
    hole.erase(hole.begin() + 1);
    EXPECT_EQ(Probe(JoinOggPages(hole)), "MEDIA_UNDECODABLE audio");
  }
}

TEST(CompressedAudio, OpusRateIsOnlyARemark) {
  std::vector<std::string> pages = OggPages(ToneFile(AudioKind::kOpus, 16000));
  constexpr size_t kInputRateAt = 28 + 12;
  for (const char* rate : {"\0\0\0\0", "\x44\xac\0\0", "\xff\xff\xff\xff"}) {
    pages[0].replace(kInputRateAt, 4, rate, 4);
    EXPECT_EQ(Decode(JoinOggPages(pages)).size(), 16000u);
  }
}

TEST(CompressedAudio, OpusOfOtherMappings) {
  std::string file = ToneFile(AudioKind::kOpus, 1000);
  file[28 + 18] = '\xff';
  EXPECT_EQ(Probe(file), "MEDIA_UNSUPPORTED audio");
}

// Books that would take gigabytes, announced in a few bytes.
TEST(CompressedAudio, VorbisBooksAreCountedBeforeTheyAreMade) {
  const std::string file = ToneFile(AudioKind::kVorbis, 16000, {.sample_rate = 48000});
  EXPECT_TRUE(VorbisSetupIsModest(file));
  const size_t books_at = file.find("\x05vorbis") + 8;
  ASSERT_EQ(file.substr(books_at, 3), "BCV");
  for (const absl::string_view size :  // dimensions and entries
       {absl::string_view("\xff\xff\x01\0\x01", 5), absl::string_view("\x01\0\xff\xff\xff", 5),
        absl::string_view("\0\0\x01\0\0", 5), absl::string_view("\x01\0\0\0\0", 5)}) {
    std::string large = file;
    large.replace(books_at + 3, size.size(), size.data(), size.size());
    EXPECT_FALSE(VorbisSetupIsModest(large));
    EXPECT_EQ(Probe(JoinOggPages(OggPages(large))), "MEDIA_UNDECODABLE audio");
  }
  for (size_t size = 0; size < file.size(); size += 37) {
    EXPECT_LE(VorbisSetupIsModest(file.substr(0, size)), size > books_at) << size;
  }
}

// A header that libsndfile could not open without losing memory.
TEST(CompressedAudio, DamagedVorbisHeadersLeakNothing) {
  std::vector<std::string> pages = OggPages(ToneFile(AudioKind::kVorbis, 1000));
  for (size_t at = 28; at < pages[0].size(); ++at) {
    std::vector<std::string> changed = pages;
    changed[0][at] ^= '\x10';
    const absl::Status status = DecodeAudio(JoinOggPages(changed), MediaLimits()).status();
    if (status.ok()) continue;
    EXPECT_NE(GetReason(status), Reason::kUnspecified) << at;
  }
}

TEST(CompressedAudio, OtherStreamsInOgg) {
  std::string file = ToneFile(AudioKind::kOpus, 1000);
  file.replace(28, 8, "Speex   ");
  const absl::Status status = ProbeAudio(file, MediaLimits()).status();
  EXPECT_EQ(Verdict(status), "MEDIA_UNSUPPORTED audio");
  EXPECT_EQ(GetErrorDetail(status)->actual, "Ogg Speex");
}

// ---- Damage.

TEST(CompressedAudio, TruncatedFilesAreRefusedOrHeardAsFarAsTheyGo) {
  for (const AudioKind kind : kKinds) {
    const std::string file = ToneFile(kind, 3000);
    size_t longest = 0;
    for (size_t size = 0; size < file.size(); size += 1 + size / 200) {
      const absl::StatusOr<std::vector<float>> samples =
          DecodeAudio(absl::string_view(file).substr(0, size), MediaLimits());
      if (!samples.ok()) {
        EXPECT_EQ(Verdict(samples.status()), "MEDIA_UNDECODABLE audio") << size;
        continue;
      }
      EXPECT_NE(kind, AudioKind::kFlac) << size;
      EXPECT_GE(samples->size(), longest);
      longest = samples->size();
    }
  }
}

TEST(CompressedAudio, ChangedBytesNeverCrash) {
  std::mt19937_64 random(7);
  for (const AudioKind kind : kKinds) {
    const std::string file = ToneFile(kind, 2000, {.channels = 2});
    for (size_t at = 0; at < file.size(); at += 1 + at / 100) {
      std::string changed = file;
      changed[at] = static_cast<char>(random());
      const bool is_ogg = kind == AudioKind::kVorbis || kind == AudioKind::kOpus;
      if (is_ogg && changed.substr(0, 5) == file.substr(0, 5)) {
        const std::string joined = JoinOggPages(OggPages(changed));
        if (!joined.empty()) changed = joined;
      }
      const absl::StatusOr<AudioInfo> info = ProbeAudio(changed, MediaLimits());
      const absl::StatusOr<std::vector<float>> samples = DecodeAudio(changed, MediaLimits());
      if (samples.ok()) {
        ASSERT_TRUE(info.ok());
        EXPECT_EQ(static_cast<int64_t>(samples->size()), info->samples);
      } else {
        EXPECT_NE(GetReason(samples.status()), Reason::kUnspecified) << at;
      }
    }
  }
}

}  // namespace
}  // namespace cleave
