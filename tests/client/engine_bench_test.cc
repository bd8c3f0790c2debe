#include "client/engine_bench.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

const std::string kCheckpoints = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints";

class EngineBenchTest : public ::testing::Test {
 protected:
  std::unique_ptr<ModelHost> host_ =
      *ModelHost::Load({.folder = kCheckpoints + "/tiny",
                        .drafter_folder = kCheckpoints + "/tiny_assistant",
                        .kv = {.page_tokens = 8},
                        .kv_bytes_max = 32 << 20,
                        .context_tokens_max = 400,
                        .step_rows_max = 64,
                        .step_outputs_max = 40,
                        .step_sequences_max = 4});
  EngineBench bench_{*host_, {{2, 300, 301}, {2, 302}}};
};

TEST_F(EngineBenchTest, PromptsAreComputedInChunks) {
  ASSERT_OK_AND_ASSIGN(const PrefillFigure figure, bench_.Prefill(100, 64));
  EXPECT_GT(figure.tokens_per_second(), 0);
  EXPECT_TRUE(std::isfinite(figure.tokens_per_second()));
}

// However little time there is, or however long the first step takes: a step is measured.
TEST_F(EngineBenchTest, NoTimeIsTimeForAStep) {
  ASSERT_OK_AND_ASSIGN(const DecodeFigure decode,
                       bench_.Decode(2, {.drafts_max = 3}, {}, absl::ZeroDuration()));
  EXPECT_EQ(decode.steps, 1);
  EXPECT_GE(decode.tokens, 2);
  EXPECT_GT(decode.step_seconds(), 0);
  EXPECT_TRUE(std::isfinite(decode.tokens_per_second()));

  ASSERT_OK_AND_ASSIGN(const LocalFigure local,
                       bench_.Local(2, 50, 16, 0.01, absl::ZeroDuration()));
  EXPECT_GT(local.alone.half, 0);
  EXPECT_GT(local.beside.half, 0);
  EXPECT_GT(local.prompt_tokens_per_second, 0);
  EXPECT_TRUE(std::isfinite(local.prompt_tokens_per_second));
}

TEST_F(EngineBenchTest, PassesHaveACostByRows) {
  for (const int64_t rows : {1, 4, 5, 40}) {
    ASSERT_OK_AND_ASSIGN(const RowsFigure figure, bench_.Rows(rows, {.temperature = 1}));
    EXPECT_EQ(figure.rows, rows);
    EXPECT_GT(figure.target_seconds, 0);
    EXPECT_EQ(figure.drafter_seconds.has_value(), rows <= 4) << rows;
    EXPECT_GT(figure.drafter_seconds.value_or(1), 0);
  }
}

TEST_F(EngineBenchTest, LeavesNoPagesBehind) {
  ASSERT_OK(bench_.Rows(8, {}).status());
  ASSERT_OK(bench_.Decode(2, {.drafts_max = 3}, {}, absl::Milliseconds(1)).status());
  ASSERT_OK(bench_.Local(2, 50, 16, 0.01, absl::Milliseconds(1)).status());
  EXPECT_EQ(host_->pools().full.num_live(), 0);
  EXPECT_EQ(host_->pools().sliding.num_live(), 0);
}

}  // namespace
}  // namespace cleave
