// SequenceSpec of the wire to SequenceRequest: the one place where both workers' services turn
// protobuf into what an engine knows.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cleave/cluster/v1/sequence.pb.h"
#include "engine/log_probabilities.h"
#include "engine/sequence.h"

namespace cleave {

// Checks shapes and ranges against the model as well (SequenceRequest::Validate). `now` starts the
// clock of the request's deadline.
absl::StatusOr<SequenceRequest> SequenceFromProto(const cluster::v1::SequenceSpec& spec,
                                                  const ModelConfig& config,
                                                  int64_t context_tokens_max, absl::Time now);

// INVALID_ARGUMENT unless it has 16 bytes.
absl::StatusOr<ContentHash> ContentHashFromProto(absl::string_view bytes);

cluster::v1::TokenLogProbabilities ToProto(const PlaceLogProbabilities& place);
cluster::v1::FinishCause FinishToProto(FinishCause cause);

}  // namespace cleave
