// Random walks of a whole cluster on a virtual clock: the real gateway's requests, both engines,
// the KV link and the model, with everything between them that can go wrong.
//
// CLEAVE_WALKS=N walks so many ways instead of a few, --gtest_random_seed=N others;
// CLEAVE_FIRST_WALK is the seed of the first, so that with CLEAVE_WALKS=1 one walk is gone again.
#include <gtest/gtest.h>

#include <cstdlib>

#include "runtime/base/log.h"
#include "tests/cluster/simulation/cluster.h"

namespace cleave {
namespace {

using simulation::Cluster;
using simulation::Hosts;
using simulation::kNumFaults;
using simulation::Tally;
using testing::Prompt;
using testing::PromptMaker;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kWalks = 150;  // enough to meet everything
#else
constexpr uint64_t kWalks = 1500;
#endif

std::vector<Prompt> MakePrompts() {
  constexpr int kPicture = PromptMaker::kPicture, kSound = PromptMaker::kSound;
  PromptMaker maker(DType::kFloat32);
  std::vector<Prompt> prompts;
  for (const std::vector<int>& parts :
       {std::vector<int>{1}, {40}, {7, kPicture, 9}, {3, kSound, 4, kPicture, 2}, {90}}) {
    prompts.push_back(maker.Make(absl::StrCat("prompt ", prompts.size()), parts));
  }
  prompts.push_back(maker.Make("sampled", {20}, 20, {.temperature = 1, .seed = 5}));
  prompts.push_back(
      maker.Make("sampled, filtered", {12}, 24, {.temperature = 0.7f, .top_k = 20, .seed = 6}));
  prompts.push_back(maker.WithCandidates(prompts.back(), 3));
  prompts.push_back(maker.WithCandidates(
      maker.Make("candidates of a picture", {4, kPicture}, 12, {.temperature = 1, .seed = 7}), 2));
  prompts.push_back(maker.Make("long answer", {9}, 70));
  prompts.push_back(maker.Make("long answer to a picture", {kPicture, 10}, 50));
  prompts.push_back(maker.Make("one token", {11}, 1));
  for (const size_t first : {1, 2}) {
    prompts.push_back(
        maker.Continue(prompts[first], absl::StrCat(prompts[first].name, ", on"), {15}));
  }
  return prompts;
}

uint64_t Asked(const char* variable, uint64_t otherwise) {
  const char* asked = std::getenv(variable);
  return asked == nullptr ? otherwise : std::strtoull(asked, nullptr, 10);
}

TEST(SimulationTest, EveryAnswerIsThatOfTheModelAloneOrATypedErrorAndNoPageIsLost) {
  SetLogSeverityMin(Severity::kError);
  const std::vector<Prompt> prompts = MakePrompts();
  Hosts hosts;
  Tally tally;
  const uint64_t first = Asked("CLEAVE_FIRST_WALK", FirstSeed());
  for (uint64_t seed = first; seed < first + Asked("CLEAVE_WALKS", kWalks); ++seed) {
    SCOPED_TRACE(seed);
    Cluster(seed, hosts, prompts, tally).Run();
    if (HasFailure()) return;
  }
  std::cout << tally.requests << " requests, " << tally.completed << " answered, " << tally.local
            << " local, " << tally.cached_prompts << " prompts from the cache, "
            << tally.preemptions << " preemptions, " << tally.drafts_accepted
            << " drafts accepted\n";
  for (const auto& [reason, count] : tally.replays) {
    std::cout << "went on after " << ReasonName(reason) << ": " << count << "\n";
  }
  for (const auto& [reason, count] : tally.failures) {
    std::cout << "failed with " << ReasonName(reason) << ": " << count << "\n";
  }
  // The walks meet everything.
  for (size_t fault = 0; fault < kNumFaults; ++fault) {
    EXPECT_GT(tally.faults[fault], 0) << "fault " << fault;
  }
  EXPECT_GT(tally.completed, tally.requests / 2);
  EXPECT_GT(tally.local, 0);
  EXPECT_GT(tally.cached_prompts, 0);
  EXPECT_GT(tally.preemptions, 0);
  EXPECT_GT(tally.drafts_accepted, 0);
  for (const Reason reason : {Reason::kWorkerLost, Reason::kDraining, Reason::kPreempted}) {
    EXPECT_GT(tally.replays[reason], 0) << ReasonName(reason);
  }
}

}  // namespace
}  // namespace cleave
