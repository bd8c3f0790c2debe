// A step of generation takes no memory: every allocation of this binary is counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/decode_step.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace cleave {
namespace {

const std::string kCheckpoints = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints";
constexpr int64_t kSequences = 4;

TEST(DecodeStepAllocationTest, AStepTakesNoMemory) {
  const auto host = *ModelHost::Load({.folder = kCheckpoints + "/tiny",
                                      .drafter_folder = kCheckpoints + "/tiny_assistant",
                                      .kv = {.page_tokens = 8},
                                      .kv_bytes_max = 32 << 20,
                                      .context_tokens_max = 400,
                                      .step_rows_max = 64,
                                      .step_outputs_max = 64,
                                      .step_sequences_max = kSequences});
  const RealClock clock;
  const auto step = *DecodeStep::Create(*host, clock, {.drafts_max = 4, .adaptive = false});
  std::vector<SequenceRequest> requests(kSequences);
  std::vector<std::unique_ptr<DecodeSequence>> sequences;
  std::vector<DecodeSequence*> running;
  const std::string hidden(static_cast<size_t>(host->final_hidden_bytes()), '\0');
  for (size_t i = 0; i < requests.size(); ++i) {
    SequenceRequest& request = requests[i];
    request.prompt_ids = {2, 300, 301};
    request.sampling = {.temperature = 1, .top_k = 64, .top_p = 0.95f, .seed = i};
    request.rules.frequency_penalty = 0.5f;
    request.output_tokens_max = 300;
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
  };
  for (int i = 0; i < 3; ++i) run();
  const int64_t before = allocations;
  EXPECT_GT(before, 0);
  for (int i = 0; i < 40; ++i) run();  // over many page boundaries
  EXPECT_EQ(allocations - before, 0);
  for (DecodeSequence* generation : running) {
    EXPECT_EQ(generation->finish, FinishCause::kNone);
    step->Leave(*generation);
  }
}

}  // namespace
}  // namespace cleave
