// Between absl::Status inside the processes and google.rpc on the wire. The only place that makes
// a grpc::Status.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace cleave {

// Carries what MakeError put into the status as ErrorInfo, BadRequest and RetryInfo.
google::rpc::Status ToProto(const absl::Status& status);
absl::Status FromProto(const google::rpc::Status& proto);

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace cleave
