#include "media/audio_decode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include <sndfile.h>

#include "media/media_error.h"
#include "media/resampler.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr int64_t kBlockFrames = 4096;  // decoded at a time

// ---- libsndfile over bytes in memory ----

// The samples of a file, as libsndfile sees them: a file without a header.
struct MemoryFile {
  absl::string_view bytes;
  sf_count_t position = 0;
};

sf_count_t Length(void* file) {
  return static_cast<sf_count_t>(static_cast<MemoryFile*>(file)->bytes.size());
}

sf_count_t Seek(sf_count_t offset, int whence, void* user_data) {
  MemoryFile& file = *static_cast<MemoryFile*>(user_data);
  if (whence == SEEK_CUR) offset += file.position;
  if (whence == SEEK_END) offset += Length(&file);
  file.position = std::clamp<sf_count_t>(offset, 0, Length(&file));
  return file.position;
}

sf_count_t Read(void* out, sf_count_t count, void* user_data) {
  MemoryFile& file = *static_cast<MemoryFile*>(user_data);
  count = std::clamp<sf_count_t>(count, 0, Length(&file) - file.position);
  std::memcpy(out, file.bytes.data() + file.position, static_cast<size_t>(count));
  file.position += count;
  return count;
}

sf_count_t Write(const void* /*bytes*/, sf_count_t /*count*/, void* /*file*/) { return 0; }

sf_count_t Tell(void* file) { return static_cast<MemoryFile*>(file)->position; }

int SndfileEncoding(SampleFormat format) {
  switch (format) {
    case SampleFormat::kPcm8:
      return SF_FORMAT_PCM_U8;
    case SampleFormat::kPcm16:
      return SF_FORMAT_PCM_16;
    case SampleFormat::kPcm24:
      return SF_FORMAT_PCM_24;
    case SampleFormat::kPcm32:
      return SF_FORMAT_PCM_32;
    case SampleFormat::kFloat32:
      return SF_FORMAT_FLOAT;
    case SampleFormat::kFloat64:
      return SF_FORMAT_DOUBLE;
  }
  return 0;
}

struct SndfileCloser {
  void operator()(SNDFILE* sound) const { sf_close(sound); }
};
using UniqueSndfile = std::unique_ptr<SNDFILE, SndfileCloser>;

// Opens the samples alone: the header was read by ProbeAudio, so that the length it stated holds
// and libsndfile's own header parsers never see the file. `samples` must outlive the result.
UniqueSndfile OpenSamples(const AudioInfo& info, MemoryFile& samples) {
  SF_VIRTUAL_IO io = {Length, Seek, Read, Write, Tell};
  SF_INFO description = {};
  description.samplerate = info.sample_rate;
  description.channels = info.channels;
  description.format = SF_FORMAT_RAW | SF_ENDIAN_LITTLE | SndfileEncoding(info.format);
  return UniqueSndfile(sf_open_virtual(&io, SFM_READ, &description, &samples));
}

// ---- channels to one ----

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

}  // namespace

absl::StatusOr<std::vector<float>> DecodeAudio(absl::string_view file, const MediaLimits& limits) {
  ASSIGN_OR_RETURN(const AudioInfo info, ProbeAudio(file, limits));
  MemoryFile samples{
      file.substr(static_cast<size_t>(info.data_offset), static_cast<size_t>(info.data_bytes))};
  const UniqueSndfile sound = OpenSamples(info, samples);
  if (sound == nullptr) return AudioUndecodable("a damaged WAV file");
  ASSIGN_OR_RETURN(Resampler resampler, Resampler::Create(info.sample_rate, kAudioSampleRate));
  const bool same_rate = info.sample_rate == kAudioSampleRate;

  std::vector<float> block(static_cast<size_t>(kBlockFrames * info.channels));
  std::vector<float> mono;
  std::vector<float> out;
  out.reserve(static_cast<size_t>(info.samples));
  for (int64_t left = info.frames; left > 0;) {
    const int64_t count = std::min(left, kBlockFrames);
    if (sf_readf_float(sound.get(), block.data(), count) != count) {
      return AudioUndecodable("a damaged WAV file");
    }
    const absl::Span<const float> interleaved =
        absl::MakeConstSpan(block).subspan(0, static_cast<size_t>(count * info.channels));
    if (!IsSound(interleaved)) return AudioUndecodable("a WAV file with samples that are no sound");
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
