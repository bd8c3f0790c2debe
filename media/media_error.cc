#include "media/media_error.h"

#include "runtime/base/error.h"

namespace cleave {

absl::Status ImageUnsupported(absl::string_view found) {
  return InvalidField(Reason::kMediaUnsupported, "image", "a JPEG (8-bit), PNG, WebP or GIF file",
                      found);
}

absl::Status AudioUnsupported(absl::string_view found) {
  return InvalidField(Reason::kMediaUnsupported, "audio",
                      "a WAV (PCM or floating point), FLAC, Ogg Vorbis, Ogg Opus or MP3 file",
                      found);
}

absl::Status ImageUndecodable(absl::string_view found) {
  return InvalidField(Reason::kMediaUndecodable, "image", "an intact JPEG, PNG, WebP or GIF file",
                      found);
}

absl::Status AudioUndecodable(absl::string_view found) {
  return InvalidField(Reason::kMediaUndecodable, "audio", "an intact WAV, FLAC, Ogg or MP3 file",
                      found);
}

}  // namespace cleave
