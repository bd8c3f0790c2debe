// The small trained model of deploy/chip through three processes: every skill of its model card, on
// cases that it was not trained on.
//
//   CLEAVE_CHIP_CASES=FILE chip_test    other cases than those of the repository
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_join.h"
#include "runtime/base/file.h"
#include "runtime/base/json_reader.h"
#include "tests/chip/chip_score.h"
#include "tests/cluster/process_cluster.h"
#include "tests/support/status_matchers.h"

namespace cleave::testing {
namespace {

const std::string kChip = CLEAVE_SOURCE_DIR "/deploy/chip";
constexpr int kAtOnce = 8;
constexpr int kCardCases = 200;  // of each line of the model card

std::string CasesPath() {
  const char* given = std::getenv("CLEAVE_CHIP_CASES");
  return given == nullptr ? CLEAVE_SOURCE_DIR "/tests/chip/cases.jsonl" : given;
}

// Both scatter, the card's share and that of a few cases: three standard deviations below each, and
// one case.
double LeastRight(double share, int asked) {
  const double least = share - 3 * std::sqrt(share * (1 - share) / kCardCases);
  return least * asked - 1 - 3 * std::sqrt(asked * least * (1 - least));
}

TEST(ChipTest, ScoresAsItsModelCardSays) {
  if (!std::filesystem::exists(kChip + "/model.safetensors")) {
    GTEST_SKIP() << "deploy/chip holds no checkpoint yet; deploy/chip/train/run makes one";
  }
  const auto cases = ReadChipCases(CasesPath());
  ASSERT_OK(cases.status());
  const std::string card_path = kChip + "/scores.json";
  const JsonDocument card = *JsonDocument::Parse(*ReadFile(card_path), card_path);
  ProcessCluster cluster({.model = kChip, .worker_flags = {"--context-tokens", "4096"}});
  const auto scores = ScoreCases(cluster.gateway_address(), *cases, kAtOnce);
  ASSERT_OK(scores.status());
  std::printf("%s", FormatScores(*scores).c_str());
  for (const auto& [skill, score] : *scores) {
    ASSERT_TRUE(card.root().Has(skill)) << skill;
    EXPECT_GE(score.right, LeastRight(*card.root().Double(skill) / 100, score.asked))
        << skill << "\n       " << absl::StrJoin(score.wrong, "\n       ");
  }
}

}  // namespace
}  // namespace cleave::testing
