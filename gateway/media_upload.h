// One Prefill.PutMedia call.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cleave/cluster/v1/prefill.grpc.pb.h"
#include "gateway/open_calls.h"
#include "gateway/sequence_order.h"

namespace cleave {

// Sends the bytes of `item` in pieces of 1 MiB, one at a time. `done` is called once by a thread of
// gRPC, with what the worker answered, or CANCELLED by `calls`, to which this belongs.
void StartMediaUpload(cluster::v1::Prefill::Stub& stub, std::shared_ptr<OpenCalls> calls,
                      const MediaItem& item, absl::Duration time_left,
                      std::function<void(absl::Status)> done);

}  // namespace cleave
