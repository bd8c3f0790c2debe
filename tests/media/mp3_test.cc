#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "media/audio_decode.h"
#include "media/mp3_frames.h"
#include "tests/media/media_files.h"
#include "tests/media/sound_files.h"

namespace cleave {
namespace {

using media_test::SoundFile;
using media_test::SoundOptions;
using media_test::Tone;
using media_test::Verdict;

std::string Mp3(int64_t frames, const SoundOptions& options = {}) {
  return SoundFile(AudioKind::kMp3, Tone(frames, options), options);
}

int64_t Frames(absl::string_view file) {
  const absl::StatusOr<AudioInfo> info = ProbeAudio(file, MediaLimits());
  EXPECT_EQ(Verdict(info.status()), "OK");
  const absl::StatusOr<std::vector<float>> samples = DecodeAudio(file, MediaLimits());
  EXPECT_EQ(Verdict(samples.status()), "OK");
  return info.ok() && samples.ok() ? info->frames : -1;
}

// The file without the frame that holds the encoder's header.
std::string WithoutHeader(const std::string& file) {
  return file.substr(ReadMp3Frame(file, 0)->bytes);
}

TEST(Mp3, WithoutAHeaderEveryFrameIsHeard) {
  const std::string file = WithoutHeader(Mp3(10000));
  const int64_t frames = Frames(file);
  EXPECT_EQ(frames % 576, 0);
  EXPECT_GT(frames, 10000);  // the encoder's delay and padding
}

TEST(Mp3, TagsAndZerosAreNotSound) {
  const std::string file = Mp3(5000);
  const std::string id3 =
      absl::StrCat("ID3", absl::string_view("\4\0\0\0\0\1\2", 7), std::string(130, '\xff'));
  for (const std::string& head : {std::string(), id3, id3 + id3, id3 + std::string(1000, '\0')}) {
    for (const std::string& tail : {std::string(), "TAG" + std::string(125, 'x'),
                                    "APETAGEX" + std::string(50, 'x'), std::string(700, '\0')}) {
      EXPECT_EQ(Frames(absl::StrCat(head, file, tail)), 5000);
    }
  }
}

TEST(Mp3, AnIncompleteLastFrameIsDropped) {
  const std::string file = Mp3(5000);
  const int64_t all = Frames(file.substr(0, file.size() - 1));
  EXPECT_EQ(all % 576, (576 - 529 - 576 + 576) % 576) << "only the start is trimmed";
  EXPECT_LT(all, 5000 + 2 * 576);
}

TEST(Mp3, AnythingElseInBetweenIsDamage) {
  const std::string file = Mp3(20000);
  const size_t second = ReadMp3Frame(file, 0)->bytes;
  const size_t third = second + ReadMp3Frame(file, second)->bytes;
  std::string junk = file;
  junk.insert(third, "junk");
  EXPECT_EQ(Verdict(ProbeAudio(junk, MediaLimits()).status()), "MEDIA_UNDECODABLE audio");
  // Another rate in the middle.
  const std::string other = Mp3(5000, {.sample_rate = 24000});
  EXPECT_EQ(Verdict(ProbeAudio(WithoutHeader(file) + other, MediaLimits()).status()),
            "MEDIA_UNDECODABLE audio");
  const std::string stereo = Mp3(5000, {.channels = 2});
  EXPECT_EQ(Verdict(ProbeAudio(WithoutHeader(file) + stereo, MediaLimits()).status()),
            "MEDIA_UNDECODABLE audio");
}

TEST(Mp3, AHeaderOfAnotherNumberOfFramesCutsTheStartOnly) {
  std::string file = Mp3(20000);
  const Mp3Frame first = *ReadMp3Frame(file, 0);
  const std::optional<Mp3Encoding> encoding = ReadMp3Encoding(file.substr(0, first.bytes), first);
  ASSERT_TRUE(encoding && encoding->frames);
  file[first.info_at() + 8 + 3]++;  // claims one more
  const int64_t decoded = *encoding->frames * first.samples();
  EXPECT_EQ(Frames(file), decoded - encoding->delay - 529);
}

TEST(Mp3, OneFrame) {
  const std::string file = WithoutHeader(Mp3(5000));
  EXPECT_EQ(Frames(file.substr(0, ReadMp3Frame(file, 0)->bytes)), 576);
}

TEST(Mp3, FramesAreReadByTheirHeaders) {
  const auto bytes = [](absl::string_view header) {
    const std::optional<Mp3Frame> frame = ReadMp3Frame(header, 0);
    return frame ? static_cast<int64_t>(frame->bytes) : -1;
  };
  EXPECT_EQ(bytes(absl::string_view("\xff\xfb\x90\x00", 4)), 417);  // 128 kbit/s, 44.1 kHz
  EXPECT_EQ(bytes(absl::string_view("\xff\xfb\x92\x00", 4)), 418);  // padded
  EXPECT_EQ(bytes(absl::string_view("\xff\xfb\xe4\x00", 4)), 960);  // 320 kbit/s, 48 kHz
  EXPECT_EQ(bytes(absl::string_view("\xff\xf3\x18\x00", 4)), 36);   // 8 kbit/s, 16 kHz
  EXPECT_EQ(bytes(absl::string_view("\xff\xe3\x18\x00", 4)), 72);   // 8 kbit/s, 8 kHz
  EXPECT_EQ(bytes(absl::string_view("\xff\xfb\x00\x00", 4)), -1);   // free rate
  EXPECT_EQ(bytes(absl::string_view("\xff\xfb\xf0\x00", 4)), -1);   // no such rate
  EXPECT_EQ(bytes(absl::string_view("\xff\xfb\x9c\x00", 4)), -1);   // no such sample rate
  EXPECT_EQ(bytes(absl::string_view("\xff\xfd\x90\x00", 4)), -1);   // layer II
  EXPECT_EQ(bytes(absl::string_view("\xff\xeb\x90\x00", 4)), -1);   // no such version
  EXPECT_EQ(bytes("\xff\xfb"), -1);
}

}  // namespace
}  // namespace cleave
