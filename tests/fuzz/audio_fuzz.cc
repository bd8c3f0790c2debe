// Any bytes as a sound: probe, then decode under small limits. What the gateway counts from the
// header must be what the decoder gives.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "media/audio_decode.h"
#include "media/audio_probe.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  cleave::MediaLimits limits;
  limits.audio_bytes_max = int64_t{1} << 16;
  limits.audio_seconds_max = 1;

  const absl::StatusOr<cleave::AudioInfo> info = cleave::ProbeAudio(file, limits);
  const absl::StatusOr<cleave::AudioFrames> audio = cleave::PrepareAudio(file, limits);
  if (!info.ok()) {
    CHECK(cleave::GetReason(info.status()) != cleave::Reason::kUnspecified);
    CHECK(audio.status() == info.status());
    return 0;
  }
  CHECK(info->data_offset + info->data_bytes <= static_cast<int64_t>(size));
  if (!audio.ok()) {
    CHECK(cleave::GetReason(audio.status()) == cleave::Reason::kMediaUndecodable);
    return 0;
  }
  CHECK(audio->count() == info->tokens);
  for (const float sample : audio->frames) CHECK(std::isfinite(sample));
  return 0;
}
