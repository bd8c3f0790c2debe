// From a call's bytes to its message. gRPC's own parsing answers text that is not UTF-8 with
// UNIMPLEMENTED and no word; a client should learn which field it was.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"

namespace cleave {

// INVALID_ARGUMENT: TEXT_NOT_UTF8 with the path of the first such field, or FIELD_INVALID when the
// bytes are no such message.
absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);

grpc::ByteBuffer SerializeReply(const google::protobuf::Message& message);

}  // namespace cleave
