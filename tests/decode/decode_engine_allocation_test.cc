// Once its sequences run, a turn of the decode engine takes no memory: every allocation of this
// binary is counted.
#include <gtest/gtest.h>

#include "decode/decode_engine.h"
#include "prometheus/registry.h"
#include "tests/support/allocations.h"

namespace cleave {
namespace {

const std::string kCheckpoints = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints";
constexpr int kSequences = 4;
constexpr int64_t kPromptRows = 8;

// All prompts are computed by the engine itself.
class NoIntake final : public KvIntake {
  void Expect(TransferId, const TicketExpectation&,
              std::function<void(const absl::Status&)>) override {}
  void Forget(Ticket, Reason) override {}
  void Reserved(TransferId, absl::StatusOr<std::unique_ptr<TransferDestination>>) override {}
};

class CountingReplies final : public DecodeReplies {
 public:
  void OnTicket(RequestKey, TransferId) override {}
  void OnStep(absl::Span<const StepTokens> sequences) override {
    for (const StepTokens& step : sequences) tokens += step.tokens.size();
  }
  void OnEnded(RequestKey, RequestEpoch, const absl::Status&) override {}  // when it stops
  size_t tokens = 0;
};

TEST(DecodeEngineAllocationTest, ATurnTakesNoMemory) {
  const auto host = *ModelHost::Load({.folder = kCheckpoints + "/tiny",
                                      .drafter_folder = kCheckpoints + "/tiny_assistant",
                                      .kv = {.page_tokens = 8},
                                      .kv_bytes_max = 32 << 20,
                                      .context_tokens_max = 400,
                                      .step_rows_max = 64,
                                      .step_outputs_max = 64,
                                      .step_sequences_max = kSequences});
  const RealClock clock;
  const auto step = *DecodeStep::Create(*host, clock, {}, kPromptRows);
  prometheus::Registry registry;
  DecodeMetrics metrics(registry);
  NoIntake intake;
  DecodeEngine engine(*host, *step, intake, clock, metrics,
                      {.sequences_max = kSequences, .prompt_rows_max = kPromptRows});
  const auto replies = std::make_shared<CountingReplies>();
  for (uint64_t i = 0; i < kSequences; ++i) {
    SequenceRequest request;
    request.prompt_ids = {2, 300, 301};
    request.sampling = {.temperature = 1, .seed = i};
    request.output_tokens_max = 390;
    request.priority = static_cast<Priority>(i % 3);
    ASSERT_TRUE(engine.Submit({.key = {SessionId{i % 2}, i},
                               .epoch = RequestEpoch{1},
                               .local = true,
                               .request = std::move(request),
                               .replies = replies}));
  }
  const auto take_turns = [&](int turns) {
    for (int i = 0; i < turns; ++i) ASSERT_TRUE(engine.Turn(absl::ZeroDuration()));
  };
  take_turns(30);
  const size_t tokens = replies->tokens;
  const int64_t before = CountAllocations();
  EXPECT_GT(before, 0);
  take_turns(30);
  EXPECT_EQ(CountAllocations() - before, 0);
  EXPECT_GE(replies->tokens - tokens, size_t{30} * kSequences);
  engine.Stop();
  while (engine.Turn(absl::ZeroDuration())) {
  }
}

}  // namespace
}  // namespace cleave
