#include "media/audio_probe.h"

#include "absl/strings/str_cat.h"
#include "media/audio_formats.h"
#include "media/media_error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Kinds we name but do not read.
constexpr FileKind kUnsupportedKinds[] = {
    {0, Magic("\xff\xf1"), "AAC"},
    {0, Magic("\xff\xf9"), "AAC"},
    {0, Magic("\xff\xfd"), "MPEG audio of layer II"},
    {0, Magic("\xff\xfc"), "MPEG audio of layer II"},
    {4, Magic("ftyp"), "MP4 (AAC) or another ISO media file"},
    {0, Magic("\x1a\x45\xdf\xa3"), "WebM or Matroska"},
    {0, Magic("RIFX"), "a big-endian WAV"},
    {0, Magic("RF64"), "RF64"},
    {0, Magic("BW64"), "BW64"},
    {8, Magic("AIFF"), "AIFF"},
    {8, Magic("AIFC"), "AIFF"},
    {8, Magic("AVI "), "AVI"},
    {0, Magic(".snd"), "AU"},
    {0, Magic("caff"), "CAF"},
    {0, Magic("#!AMR"), "AMR"},
    {0, Magic("\xff\xd8\xff"), "a picture (JPEG)"},
    {0, Magic("\x89PNG"), "a picture (PNG)"},
    {8, Magic("WEBP"), "a picture (WebP)"},
    {0, Magic("GIF8"), "a picture (GIF)"},
};

}  // namespace

absl::string_view AudioKindName(AudioKind kind) {
  switch (kind) {
    case AudioKind::kWav:
      return "WAV";
    case AudioKind::kFlac:
      return "FLAC";
    case AudioKind::kVorbis:
      return "Ogg Vorbis";
    case AudioKind::kOpus:
      return "Ogg Opus";
    case AudioKind::kMp3:
      break;
  }
  return "MP3";
}

absl::StatusOr<AudioInfo> Described(AudioInfo info, const MediaLimits& limits) {
  RETURN_IF_ERROR(CheckAudioFormat(info.channels, info.sample_rate, limits));
  if (info.frames <= 0) {
    return AudioUndecodable(
        absl::StrCat("a file without samples (", AudioKindName(info.kind), ")"));
  }
  RETURN_IF_ERROR(CheckAudioLength(info.frames, info.sample_rate, limits));
  info.samples = (info.frames * kAudioSampleRate + info.sample_rate - 1) / info.sample_rate;
  info.tokens = (info.samples + kAudioFrameSamples - 1) / kAudioFrameSamples;
  return info;
}

absl::StatusOr<AudioInfo> ProbeAudio(absl::string_view file, const MediaLimits& limits) {
  RETURN_IF_ERROR(CheckAudioBytes(static_cast<int64_t>(file.size()), limits));
  if (file.empty()) return AudioUndecodable("an empty file");
  if (HasMagic(file, 0, "RIFF") && HasMagic(file, 8, "WAVE")) return ProbeWav(file, limits);
  if (HasMagic(file, 0, kFlacSignature)) return ProbeFlac(file, limits);
  if (HasMagic(file, 0, kOggSignature)) return ProbeOgg(file, limits);
  if (LooksLikeMp3(file)) return ProbeMp3(file, limits);
  const absl::string_view kind = RecognizeKind(file, kUnsupportedKinds);
  if (!kind.empty()) return AudioUnsupported(kind);
  return AudioUndecodable("a file of no known kind");
}

}  // namespace cleave
