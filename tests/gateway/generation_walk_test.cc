#include <gtest/gtest.h>

#include <deque>

#include "gateway/generation.h"
#include "gateway/request_error.h"
#include "runtime/base/error.h"
#include "tests/gateway/generation_fakes.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

// A random walk: two workers that keep to the protocol, a client that may leave, connections
// that may break, events in any interleaving between the workers, and everything again after the
// end.
class GenerationWalk {
 public:
  explicit GenerationWalk(uint64_t seed) : walk_(seed) {
    for (int i = walk_.Between(1, 12); i > 0; --i) answer_.push_back(walk_.Below(1000));
    MediaItem item;
    item.content_hash = "a";
    SequenceOrder order{.prompt_ids = {1},
                        .media = {},
                        .emitted_ids = {},
                        .sampling = {},
                        .stop_ids = {},
                        .output_tokens_max = static_cast<int>(answer_.size()),
                        .request_id = "r"};
    if (walk_.OneIn(3)) order.media.push_back(item);
    if (walk_.OneIn(5)) recorder_->enough_at[0] = walk_.Between(1, 6);
    decode_->connected = !walk_.OneIn(40);
    prefill_->connected = !walk_.OneIn(40);
    generation_ =
        std::make_shared<Generation>(GenerationOptions{.number = kNumber,
                                                       .order = std::move(order),
                                                       .route = {prefill_, decode_},
                                                       .accepted = clock_.Now(),
                                                       .deadline = clock_.Now() + absl::Seconds(1)},
                                     recorder_, clock_);
  }

  void Run() {
    generation_->Start();
    for (int i = 0; i < 200; ++i) Act();
    calm_ = true;  // what can still go well, goes well
    for (int i = 0; i < 300; ++i) Act();
    EXPECT_TRUE(generation_->ended()) << "it never waits for what will not come";
    generation_->OnDeadline();
    for (int i = 0; i < 20; ++i) Act();
    Check();
  }

 private:
  void Act() {
    switch (walk_.Below(5)) {
      case 0:
        return ActDecode();
      case 1:
        return ActPrefill();
      case 2:
        if (prefill_->upload_done != nullptr) {
          const auto done = std::exchange(prefill_->upload_done, nullptr);
          done(Disturb(20) ? absl::UnavailableError("gone") : absl::OkStatus());
        }
        return;
      case 3:
        if (Disturb(100)) generation_->Cancel(CancelledByClient());
        return;
      default:
        if (Disturb(100)) generation_->OnDeadline();
    }
  }

  // Now and then something goes wrong.
  bool Disturb(int rarity) {
    if (calm_ || !walk_.OneIn(rarity)) return false;
    disturbed_ = true;
    return true;
  }

  void ActDecode() {
    if (decode_->expects == 0 || decode_lost_) return;
    if (walk_.OneIn(4)) return Repeat();
    if (Disturb(60)) {
      decode_lost_ = true;
      decode_->holds = false;
      return generation_->OnDecodeLost(1);
    }
    if (!ticket_sent_) {
      ticket_sent_ = true;
      return generation_->OnTicket(1, 5);
    }
    const int left = static_cast<int>(answer_.size()) - next_step_;
    if (!committed_ || left == 0 || !decode_->holds) return;
    if (Disturb(40)) {
      decode_->holds = false;
      return generation_->OnDecodeEnded(1, WorkerLost("decode"));
    }
    const int count = walk_.Between(1, std::min(left, 3));
    const std::vector<TokenId> ids(answer_.begin() + next_step_,
                                   answer_.begin() + next_step_ + count);
    const EndCause finish = count == left ? EndCause::kMaxTokens : EndCause::kNone;
    last_step_ = {next_step_, ids, finish};
    next_step_ += count;
    if (finish != EndCause::kNone) decode_->holds = false;
    generation_->OnStepTokens(1, 0, last_step_.first, {ids, {}}, finish, std::nullopt);
  }

  // A message that was sent before, once more.
  void Repeat() {
    if (last_step_.ids.empty()) return;
    generation_->OnStepTokens(1, 0, last_step_.first, {last_step_.ids, {}}, last_step_.finish,
                              std::nullopt);
  }

  // The KV may be committed, and the decode worker's steps may arrive, before the gateway hears of
  // the first token.
  void ActPrefill() {
    if (prefill_->runs == 0 || prefill_lost_ || prefill_ended_) return;
    if (Disturb(60)) {
      prefill_lost_ = true;
      prefill_->holds = false;
      return generation_->OnPrefillLost(1);
    }
    if (!committed_ && prefill_->holds && walk_.OneIn(2)) {
      committed_ = true;
      return;
    }
    const bool is_whole = answer_.size() == 1;
    if (!first_sent_) {
      first_sent_ = true;
      if (is_whole) prefill_->holds = false;
      return generation_->OnFirstToken(1, 0, {{answer_[0]}, {}},
                                       is_whole ? EndCause::kMaxTokens : EndCause::kNone,
                                       PrefillPhases{});
    }
    if (walk_.OneIn(4))
      return generation_->OnFirstToken(1, 0, {{answer_[0]}, {}}, EndCause::kNone, {});
    if (!committed_ && !is_whole) return;
    prefill_ended_ = true;
    prefill_->holds = false;
    generation_->OnPrefillEnded(1, absl::OkStatus());
  }

  void Check() {
    ASSERT_EQ(recorder_->results.size(), 1u) << "it ends exactly once";
    const GenerationResult& end = recorder_->results[0];
    ASSERT_LE(recorder_->ids[0].size(), answer_.size());
    EXPECT_TRUE(std::equal(recorder_->ids[0].begin(), recorder_->ids[0].end(), answer_.begin()))
        << "tokens come in order, none twice, none lost";
    if (end.status.ok()) {
      EXPECT_EQ(recorder_->complete.count(0), 1u);
    }
    if (recorder_->cause[0] != EndCause::kNone) {
      EXPECT_EQ(recorder_->ids[0], answer_);
    }
    if (!disturbed_ && decode_->connected && prefill_->connected) {
      EXPECT_TRUE(end.status.ok()) << end.status;
    }
    if (!end.status.ok()) {
      EXPECT_NE(GetReason(end.status), Reason::kUnspecified) << end.status;
      EXPECT_NE(GetReason(end.status), Reason::kInvariant) << end.status;
    }
    // The prefill worker of a sequence that decodes holds nothing, whether it said so or not.
    if (next_step_ > 1) prefill_->holds = false;
    EXPECT_FALSE(decode_->holds) << "cancelled where it still held something";
    EXPECT_FALSE(prefill_->holds);
    EXPECT_LE(decode_->cancels, 1);
    EXPECT_LE(prefill_->cancels, 1);
    EXPECT_EQ(decode_->events, nullptr);
    EXPECT_EQ(prefill_->events, nullptr);
    EXPECT_EQ(generation_.use_count(), 1) << "nobody keeps it";
  }

  struct Sent {
    int64_t first = 0;
    std::vector<TokenId> ids;
    EndCause finish = EndCause::kNone;
  };

  RandomWalk walk_;
  SimulatedClock clock_;
  std::vector<TokenId> answer_;
  std::shared_ptr<FakeDecode> decode_ = std::make_shared<FakeDecode>();
  std::shared_ptr<FakePrefill> prefill_ = std::make_shared<FakePrefill>();
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  std::shared_ptr<Generation> generation_;
  bool ticket_sent_ = false, first_sent_ = false, committed_ = false, prefill_ended_ = false;
  bool decode_lost_ = false, prefill_lost_ = false;
  bool calm_ = false, disturbed_ = false;
  int next_step_ = 1;
  Sent last_step_;
};

TEST(GenerationWalkTest, EndsOnceWithTheTokensInOrder) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 5000; ++seed) {
    SCOPED_TRACE(seed);
    GenerationWalk(seed).Run();
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace cleave
