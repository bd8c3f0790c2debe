#include "media/audio_decode.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "media/media_error.h"
#include "media/resampler.h"
#include "media/sound_reader.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr int64_t kBlockFrames = 4096;  // decoded at a time

bool IsSound(absl::Span<const float> samples) {
  // Written so that NaN fails.
  return std::all_of(samples.begin(), samples.end(),
                     [](float sample) { return std::abs(sample) <= kSampleMagnitudeMax; });
}

// interleaved: [frames, channels]; mono: [frames].
void MeanOfChannels(absl::Span<const float> interleaved, int channels, std::vector<float>& mono) {
  mono.clear();
  for (size_t at = 0; at < interleaved.size(); at += static_cast<size_t>(channels)) {
    double sum = 0.0;
    for (const float sample : interleaved.subspan(at, static_cast<size_t>(channels))) sum += sample;
    mono.push_back(static_cast<float>(sum / channels));
  }
}

absl::Status Damaged(AudioKind kind) {
  return AudioUndecodable(
      absl::StrCat("a file that is damaged or shorter than it says (", AudioKindName(kind), ")"));
}

std::unique_ptr<SoundReader> Open(const AudioInfo& info, absl::string_view file) {
  switch (info.kind) {
    case AudioKind::kWav:
    case AudioKind::kFlac:
      return OpenSndfile(info, file);
    case AudioKind::kVorbis:
      return OpenVorbis(info, file);
    case AudioKind::kOpus:
      return OpenOpus(info, file);
    case AudioKind::kMp3:
      break;
  }
  return OpenMp3(info, file);
}

}  // namespace

absl::StatusOr<std::vector<float>> DecodeAudio(absl::string_view file, const MediaLimits& limits) {
  ASSIGN_OR_RETURN(const AudioInfo info, ProbeAudio(file, limits));
  const std::unique_ptr<SoundReader> sound = Open(info, file);
  if (sound == nullptr) return Damaged(info.kind);
  ASSIGN_OR_RETURN(Resampler resampler, Resampler::Create(info.sample_rate, kAudioSampleRate));
  const bool same_rate = info.sample_rate == kAudioSampleRate;

  std::vector<float> block(static_cast<size_t>(kBlockFrames * info.channels));
  std::vector<float> mono;
  std::vector<float> out;
  out.reserve(static_cast<size_t>(info.samples));
  for (int64_t left = info.frames; left > 0;) {
    const int64_t count = std::min(left, kBlockFrames);
    if (sound->Read(count, block.data()) != count) return Damaged(info.kind);
    const absl::Span<const float> interleaved =
        absl::MakeConstSpan(block).subspan(0, static_cast<size_t>(count * info.channels));
    if (!IsSound(interleaved)) {
      return AudioUndecodable(
          absl::StrCat("samples that are no sound (", AudioKindName(info.kind), ")"));
    }
    MeanOfChannels(interleaved, info.channels, mono);
    if (same_rate) {
      out.insert(out.end(), mono.begin(), mono.end());
    } else {
      RETURN_IF_ERROR(resampler.Feed(mono, out));
    }
    left -= count;
  }
  if (!same_rate) RETURN_IF_ERROR(resampler.Finish(out));
  // The library rounds the length to the nearest sample; ProbeAudio rounds up.
  out.resize(static_cast<size_t>(info.samples));
  return out;
}

absl::StatusOr<AudioFrames> PrepareAudio(absl::string_view file, const MediaLimits& limits) {
  ASSIGN_OR_RETURN(std::vector<float> samples, DecodeAudio(file, limits));
  constexpr size_t kFrame = kAudioFrameSamples;
  samples.resize((samples.size() + kFrame - 1) / kFrame * kFrame);
  return AudioFrames{std::move(samples)};
}

}  // namespace cleave
