// The typed errors about files we cannot read. The text is fixed: it says which kind of file was
// recognised and what is read, and never what a codec library said.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cleave {

// A file of a known kind that is not read: INVALID_ARGUMENT, Reason::kMediaUnsupported.
// `found` names the kind, as "WebP".
absl::Status ImageUnsupported(absl::string_view found);
absl::Status AudioUnsupported(absl::string_view found);

// A file that is damaged or of no known kind: INVALID_ARGUMENT, Reason::kMediaUndecodable.
// `found` describes it, as "a PNG file that is cut short".
absl::Status ImageUndecodable(absl::string_view found);
absl::Status AudioUndecodable(absl::string_view found);

}  // namespace cleave
