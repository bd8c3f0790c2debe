#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "gateway/generation.h"
#include "tests/gateway/generation_fakes.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

// Pairs that die, drain and give back, with late messages of every earlier try, at a request of one
// to three candidates.
class ReplayWalk {
 public:
  explicit ReplayWalk(uint64_t seed) : walk_(seed) {
    size_t longest = 0;
    num_candidates_ = walk_.OneIn(2) ? 1 : walk_.Between(2, 3);
    for (int c = 0; c < num_candidates_; ++c) {
      std::vector<TokenId>& answer = candidates_.emplace_back().answer;
      for (int i = walk_.Between(1, 12); i > 0; --i) answer.push_back(walk_.Below(1000));
      longest = std::max(longest, answer.size());
      if (walk_.OneIn(6)) recorder_->enough_at[c] = walk_.Between(1, 6);
    }
    rerouter_.next = {prefill_[0], decode_[0]};
    generation_ = std::make_shared<Generation>(
        GenerationOptions{.number = kNumber,
                          .order = {.prompt_ids = {1},
                                    .output_tokens_max = static_cast<int>(longest),
                                    .candidates = num_candidates_},
                          .route = rerouter_.next,
                          .accepted = clock_.Now(),
                          .deadline = clock_.Now() + absl::Hours(1),
                          .rerouter = &rerouter_},
        recorder_, clock_);
  }

  void Run() {
    generation_->Start();
    for (int i = 0; i < 1000 && !generation_->ended(); ++i) Act(/*calm=*/i > 300);
    ASSERT_EQ(recorder_->results.size(), 1u) << "it ends, and once";
    for (const auto& message : sent_) message();
    const absl::Status& status = recorder_->results[0].status;
    if (!status.ok()) {
      EXPECT_EQ(GetReason(status), Reason::kWorkerLost) << status;
    }
    for (int c = 0; c < num_candidates_; ++c) CheckAnswer(c, status.ok());
    for (int i = 0; i < 2; ++i) {
      EXPECT_FALSE(decode_[i]->holds);
      EXPECT_FALSE(prefill_[i]->holds);
      EXPECT_EQ(decode_[i]->events, nullptr);
    }
    EXPECT_EQ(generation_.use_count(), 1) << "nobody keeps it";
  }

 private:
  struct Candidate {
    std::vector<TokenId> answer;
    int next = 0;  // the decode worker's next token
    int size() const { return static_cast<int>(answer.size()); }
  };

  Candidate& At(int c) { return candidates_[static_cast<size_t>(c)]; }

  void CheckAnswer(int c, bool is_whole) {
    const std::vector<TokenId>& told = recorder_->ids[c];
    const std::vector<TokenId>& answer = At(c).answer;
    ASSERT_LE(told.size(), answer.size());
    EXPECT_TRUE(std::equal(told.begin(), told.end(), answer.begin()))
        << "tokens come in order, none twice, none lost";
    if (is_whole) {
      EXPECT_EQ(recorder_->complete.count(c), 1u);
    }
    if (recorder_->cause[c] != EndCause::kNone) {
      EXPECT_EQ(told, answer);
    }
  }

  void Act(bool calm) {
    clock_.Advance(absl::Milliseconds(10));
    if (walk_.OneIn(4)) rerouter_.MakeCall();
    if (walk_.OneIn(3) && !sent_.empty()) {
      sent_[static_cast<size_t>(walk_.Below(static_cast<int>(sent_.size())))]();  // once more
    }
    FindTry();
    if (epoch_ == 0 || generation_->ended()) return;
    if (!calm && walk_.OneIn(12)) return Fail();
    Advance();
  }

  // The workers that the newest try is at.
  void FindTry() {
    for (int i = 0; i < 2; ++i) {
      if (!decode_[i]->holds || decode_[i]->epoch <= epoch_) continue;
      d_ = i;
      p_ = next_prefill_;
      epoch_ = decode_[i]->epoch;
      first_ = static_cast<int>(decode_[i]->emitted.size());
      EXPECT_TRUE(num_candidates_ == 1 || first_ == 0) << "several begin again";
      for (Candidate& candidate : candidates_) candidate.next = first_ + 1;
      ticket_ = has_steps_ = false;
      firsts_sent_ = 0;
    }
  }

  void Fail() {
    FakeDecode& decode = *decode_[d_];
    FakePrefill& prefill = *prefill_[p_];
    const int kind = walk_.Below(4);
    // Where the prefill worker fails, the decode worker may stay.
    const int next_decode = kind == 2 && walk_.OneIn(2) ? d_ : 1 - d_;
    next_prefill_ = 1 - p_;
    rerouter_.next = {prefill_[next_prefill_], decode_[next_decode]};
    if (kind < 2 && decode.holds) {
      decode.holds = false;
      const uint32_t epoch = epoch_;
      if (kind == 0 && walk_.OneIn(3)) return generation_->OnDecodeLost(epoch);
      return Send(
          [this, epoch] { generation_->OnDecodeEnded(epoch, Failure(Reason::kPreempted)); });
    }
    if (kind == 2 && prefill.holds && prefill.epoch == epoch_) {
      prefill.holds = false;
      if (walk_.OneIn(3)) return generation_->OnPrefillLost(epoch_);
      Send([this, epoch = epoch_] {
        generation_->OnPrefillEnded(epoch, Failure(Reason::kDraining));
      });
    }
  }

  void Advance() {
    if (!ticket_) {
      ticket_ = true;
      return Send([this, epoch = epoch_] { generation_->OnTicket(epoch, 5); });
    }
    FakePrefill& prefill = *prefill_[p_];
    if (prefill.epoch != epoch_) return;
    if (firsts_sent_ < num_candidates_ && walk_.OneIn(2)) return SendFirst(firsts_sent_++);
    if (firsts_sent_ == num_candidates_ && prefill.holds && walk_.OneIn(4)) {
      prefill.holds = false;  // its KV has arrived
      return Send([this, epoch = epoch_] { generation_->OnPrefillEnded(epoch, absl::OkStatus()); });
    }
    SendStep(walk_.Below(num_candidates_));
  }

  void SendFirst(int c) {
    const Candidate& candidate = At(c);
    const TokenId id = candidate.answer[static_cast<size_t>(first_)];
    const bool is_last = first_ + 1 == candidate.size();
    NoteEnd();
    Send([this, epoch = epoch_, c, id, is_last] {
      const EndCause finish = is_last ? EndCause::kMaxTokens : EndCause::kNone;
      generation_->OnFirstToken(epoch, c, {{id}, {}}, finish, {});
    });
  }

  // Steps may arrive before first tokens do.
  void SendStep(int c) {
    Candidate& candidate = At(c);
    const int left = candidate.size() - candidate.next;
    if (left <= 0 || !decode_[d_]->holds) return;
    prefill_[p_]->holds = false;
    has_steps_ = true;
    const int begin = candidate.next;
    candidate.next += walk_.Between(1, std::min(left, 3));
    const std::vector<TokenId> ids(candidate.answer.begin() + begin,
                                   candidate.answer.begin() + candidate.next);
    const bool is_last = candidate.next == candidate.size();
    NoteEnd();
    Send([this, epoch = epoch_, c, begin, ids, is_last] {
      generation_->OnStepTokens(epoch, c, begin, {ids, {}},
                                is_last ? EndCause::kMaxTokens : EndCause::kNone, std::nullopt);
    });
  }

  // Once the last tokens of all candidates were sent, the decode worker holds nothing, or, when
  // first tokens were all, the prefill worker.
  void NoteEnd() {
    for (int c = 0; c < num_candidates_; ++c) {
      const Candidate& candidate = At(c);
      const bool is_short = first_ + 1 == candidate.size();
      if (is_short ? c >= firsts_sent_ : candidate.next < candidate.size()) return;
    }
    if (has_steps_) {
      decode_[d_]->holds = false;
      decode_[d_]->ended_unheard = rerouter_.call != nullptr;  // between two tries
    } else {
      prefill_[p_]->holds = false;
    }
  }

  void Send(const std::function<void()>& message) {
    sent_.push_back(message);
    message();
  }

  RandomWalk walk_;
  SimulatedClock clock_;
  int num_candidates_ = 1;
  std::vector<Candidate> candidates_;
  std::shared_ptr<FakeDecode> decode_[2] = {std::make_shared<FakeDecode>(),
                                            std::make_shared<FakeDecode>()};
  std::shared_ptr<FakePrefill> prefill_[2] = {std::make_shared<FakePrefill>(),
                                              std::make_shared<FakePrefill>()};
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  FakeRerouter rerouter_;
  std::shared_ptr<Generation> generation_;
  std::vector<std::function<void()>> sent_;
  int next_prefill_ = 0;
  // Of the newest try.
  int p_ = 0, d_ = 0;
  uint32_t epoch_ = 0;
  int first_ = 0;  // the place of its first tokens
  int firsts_sent_ = 0;
  bool ticket_ = false, has_steps_ = false;
};

TEST(GenerationReplayWalkTest, TokensAreTheSameWhoeverDies) {
  int completed = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 3000; ++seed) {
    SCOPED_TRACE(seed);
    ReplayWalk(seed).Run();
    if (testing::Test::HasFailure()) break;
    ++completed;
  }
  EXPECT_EQ(completed, 3000);
}

}  // namespace
}  // namespace cleave
