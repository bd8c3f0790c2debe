// The KV link's messages between plain structs and protobuf.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cleave/kvlink/v1/kv_link.pb.h"
#include "runtime/link/kv_sender.h"
#include "runtime/link/link_messages.h"

namespace cleave {

kvlink::v1::PrefillToDecode ToProto(const PrefillToDecode& message);
kvlink::v1::DecodeToPrefill ToProto(const DecodeToPrefill& message);
// Copies the pages into the message.
void FrameToProto(const FrameHeader& header, absl::Span<const PageBytes> pages,
                  kvlink::v1::Frame& proto);

// INVALID_ARGUMENT for what no peer of this version sends: nothing set, an unknown enum value.
// Numbers are not judged here. A frame is not a message of the state
// machines: its header is converted alone, its bytes are used where they lie.
absl::StatusOr<PrefillToDecode> FromProto(const kvlink::v1::PrefillToDecode& proto);
absl::StatusOr<DecodeToPrefill> FromProto(const kvlink::v1::DecodeToPrefill& proto);
absl::StatusOr<FrameHeader> FromProto(const kvlink::v1::FrameHeader& proto);

}  // namespace cleave
