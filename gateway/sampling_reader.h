// How the next token is to be chosen, read from a request.
#pragma once

#include "absl/status/statusor.h"
#include "cleave/v1/chat.pb.h"
#include "gateway/sequence_order.h"
#include "gateway/served_model.h"

namespace cleave {

// Fills in the model's defaults and draws a seed where none is given. INVALID_ARGUMENT with the
// field.
absl::StatusOr<SamplingChoice> ReadSampling(const v1::Sampling& sampling,
                                            const ModelDefaults& defaults);

// The rules about logits: penalties, biases, the least length, the thinking budget.
absl::StatusOr<RulesChoice> ReadRules(const v1::GenerateRequest& request, const ServedModel& model);

}  // namespace cleave
