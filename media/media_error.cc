#include "media/media_error.h"

#include "runtime/base/error.h"

namespace cleave {

absl::Status ImageUnsupported(absl::string_view found) {
  return InvalidField(Reason::kMediaUnsupported, "image", "a JPEG (8-bit), PNG, WebP or GIF file",
                      found);
}

absl::Status AudioUnsupported(absl::string_view found) {
  return InvalidField(
      Reason::kMediaUnsupported, "audio",
      "a WAV file (PCM of 8, 16, 24 or 32 bits, or floating point of 32 or 64 bits)", found);
}

absl::Status ImageUndecodable(absl::string_view found) {
  return InvalidField(Reason::kMediaUndecodable, "image", "an intact JPEG, PNG, WebP or GIF file",
                      found);
}

absl::Status AudioUndecodable(absl::string_view found) {
  return InvalidField(Reason::kMediaUndecodable, "audio", "an intact WAV file", found);
}

}  // namespace cleave
