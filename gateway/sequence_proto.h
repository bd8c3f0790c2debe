// Between plain values and the cluster's messages.
#pragma once

#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "cleave/cluster/v1/decode.pb.h"
#include "cleave/cluster/v1/prefill.pb.h"
#include "cleave/cluster/v1/sequence.pb.h"
#include "gateway/answer_tokens.h"
#include "gateway/sequence_order.h"

namespace cleave {

cluster::v1::SequenceSpec ToProto(const SequenceOrder& order, absl::Duration time_left);

// Unknown values count as kNone: the sequence then ends by its deadline, not with a wrong reason.
LogProbabilitySet FromProto(const cluster::v1::TokenLogProbabilities& proto);
EndCause FromProto(cluster::v1::FinishCause cause);
PrefillPhases FromProto(const cluster::v1::FirstToken& token);
DecodePhases FromProto(const cluster::v1::DecodeTimings& timings);

}  // namespace cleave
