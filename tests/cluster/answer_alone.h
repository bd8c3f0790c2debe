// What the model alone answers to a request of ChatService, in this process: no engine, no page
// that is shared, the whole prompt in one step, then token by token.
#pragma once

#include <string>
#include <vector>

#include "cleave/v1/chat.pb.h"
#include "gateway/prompt_builder.h"
#include "gateway/reply_assembler.h"
#include "tests/support/model_runner.h"

namespace cleave::testing {

struct AloneAnswer {
  Prompt prompt;
  std::vector<TokenId> ids;                    // a stop id included
  std::vector<std::string> log_probabilities;  // v1::TokenLogProbabilities of each, serialized
  ReplyDelta reply;                            // all of it; thoughts too
};

// For requests that the gateway would take, without a thinking budget. `options` as the workers';
// at most positions_max tokens with the prompt.
AloneAnswer AnswerAlone(const std::string& model_folder, v1::GenerateRequest request,
                        const RunnerOptions& options);

}  // namespace cleave::testing
