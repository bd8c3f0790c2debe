// The video part of a request: which of its frames the model sees.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cleave/v1/chat.pb.h"
#include "gateway/chat_request.h"
#include "gateway/served_model.h"

namespace cleave {

// Checks the part at `field` ("messages[0].parts[1].video"), chooses its frames and takes their
// bytes out of it. `token_budget` is the one in force for each frame. INVALID_ARGUMENT with the
// path of what is wrong.
absl::StatusOr<MediaInput> ReadVideo(const std::string& field, v1::Video& video, int token_budget,
                                     const RequestLimits& limits);

}  // namespace cleave
