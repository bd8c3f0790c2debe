// The prefill engine with decode workers that do what the test wants. The test takes the turns.
#include "prefill/prefill_engine.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "prometheus/registry.h"

namespace cleave {
namespace {

constexpr int kPageTokens = 8;

// The worker at the address "full" grants nothing, the one at "slow" takes no frame; others take
// everything.
class FakeOutlet final : public KvOutlet {
 public:
  void Begin(const std::string& address, const TransferSpec& spec) override {
    ++begun[address];
    if (address == "full") return;
    engine->OnGranted(spec.id);
    if (address != "slow") quick_.insert(spec.id);
  }
  void QueueFrame(TransferId transfer, const FrameSlice&, std::vector<PageBytes>,
                  std::function<void()> release) override {
    frames_[transfer].push_back(std::move(release));
  }
  void Commit(TransferId transfer, CommitPayload) override {
    if (quick_.count(transfer) > 0) End(transfer, absl::OkStatus());
  }
  void Cancel(TransferId transfer, Reason) override { End(transfer, absl::CancelledError()); }

  PrefillEngine* engine = nullptr;
  std::map<std::string, int> begun;  // transfers, by address

 private:
  void End(TransferId transfer, const absl::Status& status) {
    for (const auto& release : frames_[transfer]) release();
    frames_.erase(transfer);
    engine->OnFinished(transfer, status);
  }
  std::set<TransferId> quick_;
  std::map<TransferId, std::vector<std::function<void()>>> frames_;
};

class Heard final : public PrefillReplies {
 public:
  void OnFirstToken(RequestKey key, RequestEpoch, int, const TokenChoice&, FinishCause,
                    const PrefillTimings&) override {
    ++first_tokens[key.request];
  }
  void OnEnded(RequestKey key, RequestEpoch, const absl::Status& status, int64_t) override {
    ends[key.request] = status;
  }
  std::map<uint64_t, int> first_tokens;
  std::map<uint64_t, absl::Status> ends;
};

class PrefillEngineTest : public ::testing::Test {
 protected:
  PrefillEngineTest() { outlet_.engine = &engine_; }
  ~PrefillEngineTest() override {
    engine_.Stop();
    while (engine_.Turn(absl::ZeroDuration())) {
    }
  }

  void Submit(uint64_t number, const std::string& decode_address, int tokens, uint64_t ticket = 0) {
    SequenceRequest request;
    request.prompt_ids.assign(static_cast<size_t>(tokens), 300);
    request.output_tokens_max = 9;
    request.accepted = clock_.Now();
    ASSERT_TRUE(
        engine_.Submit({.key = {SessionId{1}, number},
                        .request = std::move(request),
                        .transfer = {Ticket{ticket == 0 ? number : ticket}, RequestEpoch{1}},
                        .decode_address = decode_address,
                        .replies = replies_,
                        .accepted = clock_.Now()}));
  }
  void TakeTurns() {
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(engine_.Turn(absl::ZeroDuration()));
  }

  int num_pages() const { return host_->pools().full.num_pages(); }

  SimulatedClock clock_;
  prometheus::Registry registry_;
  PrefillMetrics metrics_{registry_};
  std::unique_ptr<ModelHost> host_ =
      *ModelHost::Load({.folder = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny",
                        .kv = {.page_tokens = kPageTokens},
                        .kv_bytes_max = int64_t{640} << 10,
                        .context_tokens_max = 512,
                        .poison_free_pages = true});
  FakeOutlet outlet_;
  PrefillEngine engine_{*host_, outlet_, clock_, metrics_, {.chunk_tokens = 64}};
  std::shared_ptr<Heard> replies_ = std::make_shared<Heard>();
};

// Its own prompts wait, not those of others, though they would fill all memory.
TEST_F(PrefillEngineTest, ADecodeWorkerThatGrantsNothingHoldsUpItsOwnPromptsOnly) {
  const int fifth = num_pages() / 5 * kPageTokens;
  for (uint64_t i = 1; i <= 5; ++i) Submit(i, "full", fifth);
  TakeTurns();
  EXPECT_EQ(outlet_.begun["full"], 2);
  Submit(6, "full", 1);  // small, but behind others
  Submit(7, "free", fifth);
  TakeTurns();
  EXPECT_EQ(replies_->first_tokens[7], 1);
  EXPECT_EQ(outlet_.begun["full"], 2);
}

TEST_F(PrefillEngineTest, APromptForADecodeWorkerThatGrantsNothingMayBeLarge) {
  ASSERT_GT(2 * 500 / kPageTokens, num_pages());
  Submit(1, "full", 500);
  TakeTurns();
  EXPECT_EQ(replies_->first_tokens[1], 1);
}

// What it has granted may be computed, and is on its way for a second before it counts.
TEST_F(PrefillEngineTest, ADecodeWorkerThatTakesNoFramesHoldsUpItsOwnPromptsOnly) {
  const int fifth = num_pages() / 5 * kPageTokens;
  for (uint64_t i = 1; i <= 3; ++i) Submit(i, "slow", fifth);
  TakeTurns();
  EXPECT_EQ(outlet_.begun["slow"], 3);
  clock_.Advance(absl::Seconds(2));
  Submit(4, "slow", fifth);
  Submit(5, "free", fifth);
  TakeTurns();
  EXPECT_EQ(outlet_.begun["slow"], 3);
  EXPECT_EQ(replies_->first_tokens[5], 1);
}

// As from a gateway that says something twice.
TEST_F(PrefillEngineTest, ATicketIsComputedOnce) {
  Submit(1, "full", 20, 77);
  Submit(2, "full", 20, 77);
  TakeTurns();
  EXPECT_EQ(replies_->first_tokens[1], 1);
  EXPECT_EQ(GetReason(replies_->ends[2]), Reason::kStaleEpoch);
}

}  // namespace
}  // namespace cleave
