// Random walks of both engines over the real link, with pages for a few sequences only: prompts of
// all kinds on both routes, with drafts and several candidates, conversations that go on, clients
// that leave; what is given back goes on later.
// Freed pages are NaN, so whoever reads one answers otherwise.
#include <gtest/gtest.h>

#include "runtime/base/clock.h"
#include "tests/cluster/engine_pair.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

using testing::Answer;
using testing::EnginePair;
using testing::Prompt;
using testing::PromptMaker;

// 85 pages of 8 tokens each.
constexpr int64_t kKvBytes = int64_t{1} << 20;
constexpr int64_t kDecodeKvBytes = 430'000;
constexpr size_t kLiveMax = 10;
constexpr int kLongAnswers = 3;  // the last of the prompts

std::vector<Prompt> MakePrompts(PromptMaker& maker) {
  constexpr int kPicture = PromptMaker::kPicture, kSound = PromptMaker::kSound;
  std::vector<Prompt> prompts;
  for (const std::vector<int>& parts :
       {std::vector<int>{1}, {70}, {200}, {5, kPicture, 9}, {3, kSound, 4, kPicture, 2}}) {
    prompts.push_back(maker.Make(absl::StrCat("prompt ", prompts.size()), parts));
  }
  for (const size_t first : {1, 3}) {
    for (int turn = 0; turn < 2; ++turn) {
      const Prompt& before = turn == 0 ? prompts[first] : prompts.back();
      prompts.push_back(maker.Continue(before, absl::StrCat(before.name, ", on"), {19}));
    }
  }
  prompts.push_back(
      maker.WithCandidates(maker.Make("candidates", {9}, 90, {.temperature = 1, .seed = 8}), 3));
  prompts.push_back(maker.Make("long answer", {9}, 250));
  prompts.push_back(maker.Make("long answer to a picture", {kPicture, 30}, 200));
  return prompts;
}

class PairWalk {
 public:
  PairWalk(uint64_t seed, const std::vector<Prompt>& prompts)
      : walk_(seed),
        prompts_(prompts),
        pair_(walk_.Between(4, 80), DType::kFloat32, kKvBytes, kDecodeKvBytes) {}

  void Run() {
    for (int i = 0; i < 150; ++i) {
      if (live_.size() < kLiveMax && walk_.OneIn(2)) Start();
      if (!live_.empty() && walk_.OneIn(8)) CancelOne();
      Reap();
      if (walk_.OneIn(6)) cleave::SleepFor(absl::Microseconds(walk_.Below(2000)));
      ASSERT_EQ(pair_.unaccounted_pages(), 0);
    }
    const absl::Time give_up = RealClock().Now() + absl::Seconds(60);
    while (!live_.empty()) {
      ASSERT_LT(RealClock().Now(), give_up) << live_.size() << " never ended";
      Reap();
      cleave::SleepFor(absl::Milliseconds(1));
    }
  }

  int64_t completed() const { return completed_; }
  double preemptions() const { return pair_.preemptions(); }

 private:
  struct Live {
    const Prompt* prompt = nullptr;
    SequenceRequest request;  // emitted_ids grow when it is given back
    std::shared_ptr<Answer> answer;
    RequestKey key{};
    bool cancelled = false;
  };

  void Start() {
    const int count = static_cast<int>(prompts_.size());
    const int first = walk_.OneIn(2) ? count - kLongAnswers : 0;
    const auto i = static_cast<size_t>(walk_.Between(first, count - 1));
    live_.push_back({.prompt = &prompts_[i], .request = prompts_[i].request});
    live_.back().request.priority = static_cast<Priority>(walk_.Below(3));
    Ask(live_.back());
  }

  void Ask(Live& live) {
    live.answer = std::make_shared<Answer>();
    const bool local = live.prompt->media.empty() && live.request.candidates == 1 && walk_.OneIn(2);
    live.key = local ? pair_.AskLocally(live.request, live.answer)
                     : pair_.Ask(live.request, live.prompt->media, live.answer);
  }

  void CancelOne() {
    Live& live = live_[static_cast<size_t>(walk_.Below(static_cast<int>(live_.size())))];
    live.cancelled = true;
    pair_.Cancel(live.key);
  }

  void Reap() {
    for (size_t i = 0; i < live_.size();) {
      if (Done(live_[i])) {
        live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  }

  // Whether nothing more is to come of it. What was given back goes on.
  bool Done(Live& live) {
    if (live.cancelled) return true;  // nobody hears of it any more
    absl::Status status;
    std::vector<std::vector<int32_t>> told;  // of each candidate
    if (!live.answer->Ended(status, told)) return false;
    pair_.Cancel(
        live.key);  // what a worker may still hold: of an answer that prefill has completed
    std::vector<int32_t>& emitted = live.request.emitted_ids;
    told[0].insert(told[0].begin(), emitted.begin(), emitted.end());
    if (status.ok()) {
      EXPECT_EQ(told, live.prompt->candidates) << live.prompt->name;
      ++completed_;
      return true;
    }
    EXPECT_EQ(GetReason(status), Reason::kPreempted) << status;
    if (told.size() == 1) emitted = told[0];  // several begin again
    Ask(live);
    return false;
  }

  RandomWalk walk_;
  const std::vector<Prompt>& prompts_;
  EnginePair pair_;
  std::vector<Live> live_;
  int64_t completed_ = 0;
};

TEST(EnginePairWalkTest, AnswersAreThoseOfTheModelAloneAndNoPageIsLost) {
  PromptMaker maker(DType::kFloat32);
  const std::vector<Prompt> prompts = MakePrompts(maker);
  int64_t completed = 0;
  double preemptions = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 12; ++seed) {
    SCOPED_TRACE(seed);
    PairWalk walk(seed, prompts);
    walk.Run();
    if (::testing::Test::HasFailure()) return;
    completed += walk.completed();
    preemptions += walk.preemptions();
  }
  EXPECT_GT(completed, 100);
  EXPECT_GT(preemptions, 10);
}

}  // namespace
}  // namespace cleave
