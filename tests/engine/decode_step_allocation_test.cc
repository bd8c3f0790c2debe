// A step of generation takes no memory: every allocation of this binary is counted.
#include <gtest/gtest.h>

#include "engine/decode_step.h"
#include "tests/support/allocations.h"

namespace cleave {
namespace {

const std::string kCheckpoints = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints";
constexpr int64_t kSequences = 4;

class DecodeStepAllocationTest : public ::testing::TestWithParam<DraftOptions> {
 protected:
  // Every way of choosing that takes scratch memory.
  static std::vector<SequenceRequest> Requests() {
    std::vector<SequenceRequest> requests(kSequences);
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].prompt_ids = {2, 300, 301};
      requests[i].sampling = {.temperature = 1, .seed = i};
      requests[i].output_tokens_max = 300;
    }
    requests[0].sampling.top_k = 64;
    requests[0].sampling.top_p = 0.95f;
    requests[0].rules.frequency_penalty = 0.5f;
    requests[1].sampling.top_p = 0.9f;  // of the whole vocabulary
    requests[1].rules = {.logit_bias = {{301, 2}, {302, -3}},
                         .repetition_penalty = 1.3f,
                         .presence_penalty = 0.2f,
                         .frequency_penalty = 0.4f};
    requests[1].log_probabilities = kTopLogProbabilitiesMax;
    requests[2].sampling.min_p = 0.02f;
    requests[2].log_probabilities = 0;
    requests[3].sampling.temperature = 0;
    requests[3].log_probabilities = kTopLogProbabilitiesMax;
    return requests;
  }
};

TEST_P(DecodeStepAllocationTest, AStepTakesNoMemory) {
  const auto host = *ModelHost::Load({.folder = kCheckpoints + "/tiny",
                                      .drafter_folder = kCheckpoints + "/tiny_assistant",
                                      .kv = {.page_tokens = 8},
                                      .kv_bytes_max = 32 << 20,
                                      .context_tokens_max = 400,
                                      .step_rows_max = 64,
                                      .step_outputs_max = 64,
                                      .step_sequences_max = kSequences});
  const RealClock clock;
  const auto step = *DecodeStep::Create(*host, clock, GetParam());
  const std::vector<SequenceRequest> requests = Requests();
  std::vector<std::unique_ptr<DecodeSequence>> sequences;
  std::vector<DecodeSequence*> running;
  const std::string hidden(static_cast<size_t>(host->final_hidden_bytes()), '\0');
  for (const SequenceRequest& request : requests) {
    sequences.push_back(std::make_unique<DecodeSequence>(host->pools()));
    DecodeSequence& generation = *sequences.back();
    ASSERT_TRUE(generation.table.Extend(3).ok());
    generation.output = {305};
    step->Join(generation, request, hidden);
    running.push_back(&generation);
  }
  const auto run = [&] {
    for (DecodeSequence* generation : running) ASSERT_TRUE(generation->table.Extend(1).ok());
    step->Run(running);
    ASSERT_EQ(running[3]->log_probabilities.size(), static_cast<size_t>(running[3]->new_tokens));
  };
  for (int i = 0; i < 3; ++i) run();
  const int64_t before = CountAllocations();
  EXPECT_GT(before, 0);
  for (int i = 0; i < 60; ++i) run();  // over many page boundaries, and a trial of drafts
  EXPECT_EQ(CountAllocations() - before, 0);
  for (DecodeSequence* generation : running) {
    EXPECT_EQ(generation->finish, FinishCause::kNone);
    step->Leave(*generation);
  }
}

INSTANTIATE_TEST_SUITE_P(Drafts, DecodeStepAllocationTest,
                         ::testing::Values(DraftOptions{.drafts_max = 0},
                                           DraftOptions{.drafts_max = 4, .adaptive = false},
                                           DraftOptions{.drafts_max = 6, .adaptive = true}),
                         [](const auto& of) {
                           return (of.param.adaptive ? "at_most_" : "always_") +
                                  std::to_string(of.param.drafts_max);
                         });

}  // namespace
}  // namespace cleave
