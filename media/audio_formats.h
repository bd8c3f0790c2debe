// One probe for each kind of sound; ProbeAudio is the way in. The file begins as the kind does and
// its size is within the limits. They allocate nothing; their work is bounded by the size of the
// file, and by the seconds a sound may have.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "media/audio_probe.h"
#include "media/file_kind.h"
#include "media/media_limits.h"

namespace cleave {

inline constexpr absl::string_view kFlacSignature = Magic("fLaC");
inline constexpr absl::string_view kOggSignature = Magic("OggS");

// An MPEG audio header of layer III, or an ID3v2 tag.
bool LooksLikeMp3(absl::string_view file);

absl::StatusOr<AudioInfo> ProbeWav(absl::string_view file, const MediaLimits& limits);
absl::StatusOr<AudioInfo> ProbeFlac(absl::string_view file, const MediaLimits& limits);
absl::StatusOr<AudioInfo> ProbeOgg(absl::string_view file, const MediaLimits& limits);
absl::StatusOr<AudioInfo> ProbeMp3(absl::string_view file, const MediaLimits& limits);

// `info`, whose channels, rate and frames are set, with samples and tokens, once they have been
// checked. Fails for no frames and for what is beyond the limits.
absl::StatusOr<AudioInfo> Described(AudioInfo info, const MediaLimits& limits);

}  // namespace cleave
