#include "gateway/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "gateway/request_error.h"
#include "runtime/base/error.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr RequestNumber kNumber{7};

// Workers that record what is asked of them; the test makes the events.
struct FakeDecode final : DecodeWorker {
  bool Expect(RequestNumber, uint32_t, const SequenceOrder& order, absl::Duration time_left,
              std::shared_ptr<WorkerEvents> new_events) override {
    if (!connected) return false;
    ++expects;
    prompt = order.prompt_ids;
    left = time_left;
    events = std::move(new_events);
    holds = true;
    return true;
  }
  void Cancel(RequestNumber, const std::string& why) override {
    ++cancels;
    EXPECT_TRUE(holds) << "a cancel for nothing";
    reason = why;
    holds = false;
    events = nullptr;
  }
  void Forget(RequestNumber) override { events = nullptr; }
  std::string name() const override { return "d"; }
  std::string kv_link_address() const override { return "d:1"; }

  bool connected = true;
  bool holds = false;  // as the worker sees it
  int expects = 0;
  int cancels = 0;
  std::string reason;
  std::vector<TokenId> prompt;
  absl::Duration left;
  std::shared_ptr<WorkerEvents> events;
};

struct FakePrefill final : PrefillWorker {
  void PutMedia(const MediaItem& item, absl::Duration,
                std::function<void(absl::Status)> done) override {
    uploads.push_back(item.content_hash);
    upload_done = std::move(done);
  }
  bool Run(RequestNumber, uint32_t, const SequenceOrder&, absl::Duration, uint64_t new_ticket,
           const std::string& decode_address, std::shared_ptr<WorkerEvents> new_events) override {
    if (!connected) return false;
    ++runs;
    ticket = new_ticket;
    address = decode_address;
    events = std::move(new_events);
    holds = true;
    return true;
  }
  void Cancel(RequestNumber, const std::string&) override {
    ++cancels;
    EXPECT_TRUE(holds) << "a cancel for nothing";
    holds = false;
    events = nullptr;
  }
  void Forget(RequestNumber) override { events = nullptr; }
  std::string name() const override { return "p"; }

  bool connected = true;
  bool holds = false;
  int runs = 0;
  int cancels = 0;
  uint64_t ticket = 0;
  std::string address;
  std::vector<std::string> uploads;
  std::function<void(absl::Status)> upload_done;
  std::shared_ptr<WorkerEvents> events;
};

struct Recorder final : GenerationListener {
  TokenVerdict OnTokens(absl::Span<const TokenId> new_ids, FinishCause new_cause) override {
    EXPECT_TRUE(results.empty()) << "tokens after the end";
    EXPECT_FALSE(new_ids.empty());
    ids.insert(ids.end(), new_ids.begin(), new_ids.end());
    cause = new_cause;
    return {.enough = enough_at > 0 && static_cast<int>(ids.size()) >= enough_at, .error = error};
  }
  void OnEnd(const GenerationResult& result) override { results.push_back(result); }

  std::vector<TokenId> ids;
  FinishCause cause = FinishCause::kNone;
  std::vector<GenerationResult> results;
  int enough_at = 0;
  absl::Status error;
};

class GenerationTest : public testing::Test {
 protected:
  // An upload and an open request keep each other.
  void TearDown() override {
    prefill_->upload_done = nullptr;
    if (generation_ != nullptr) generation_->Cancel(CancelledByClient());
  }
  void Make(std::vector<MediaItem> media = {}, int output_tokens_max = 8) {
    GenerationOptions options{.number = kNumber,
                              .order = {.prompt_ids = {1, 2, 3},
                                        .media = std::move(media),
                                        .emitted_ids = {},
                                        .sampling = {},
                                        .stop_ids = {},
                                        .output_tokens_max = output_tokens_max,
                                        .request_id = "r"},
                              .route = {prefill_, decode_},
                              .accepted = clock_.Now(),
                              .deadline = clock_.Now() + absl::Seconds(10)};
    generation_ = std::make_shared<Generation>(std::move(options), recorder_, clock_);
  }
  void StartAndRun() {
    Make();
    generation_->Start();
    generation_->OnTicket(1, 99);
  }
  void First(TokenId id, FinishCause finish = FinishCause::kNone) {
    generation_->OnFirstToken(
        1, id, finish, {.queue = absl::Seconds(1), .media = {}, .prefill = {}, .grant_wait = {}});
  }
  void Step(int64_t first, std::vector<TokenId> ids, FinishCause finish = FinishCause::kNone) {
    generation_->OnStepTokens(1, first, std::move(ids), finish, std::nullopt);
  }
  const GenerationResult& End() {
    EXPECT_EQ(recorder_->results.size(), 1u);
    return recorder_->results.at(0);
  }
  Reason EndReason() { return GetReason(End().status); }

  SimulatedClock clock_;
  std::shared_ptr<FakeDecode> decode_ = std::make_shared<FakeDecode>();
  std::shared_ptr<FakePrefill> prefill_ = std::make_shared<FakePrefill>();
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  std::shared_ptr<Generation> generation_;
};

TEST_F(GenerationTest, GoesItsWay) {
  Make();
  generation_->Start();
  EXPECT_THAT(decode_->prompt, ElementsAre(1, 2, 3));
  EXPECT_EQ(decode_->left, absl::Seconds(10));
  EXPECT_EQ(prefill_->runs, 0) << "nothing is computed before the ticket";
  generation_->OnTicket(1, 99);
  EXPECT_EQ(prefill_->ticket, 99u);
  EXPECT_EQ(prefill_->address, "d:1");
  clock_.Advance(absl::Seconds(2));
  First(10);
  clock_.Advance(absl::Seconds(3));
  generation_->OnPrefillEnded(1, absl::OkStatus());
  Step(1, {11, 12});
  Step(3, {13}, FinishCause::kStopId);
  EXPECT_THAT(recorder_->ids, ElementsAre(10, 11, 12, 13));
  EXPECT_EQ(recorder_->cause, FinishCause::kStopId);
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().cause, FinishCause::kStopId);
  EXPECT_EQ(End().output_tokens, 4);
  EXPECT_EQ(End().time_to_first_token, absl::Seconds(2));
  EXPECT_EQ(End().transfer_exposed, absl::Seconds(3));
  EXPECT_EQ(End().prefill_phases.queue, absl::Seconds(1));
  EXPECT_EQ(decode_->cancels + prefill_->cancels, 0);
  EXPECT_EQ(decode_->events, nullptr) << "a finished request is let go of";
}

TEST_F(GenerationTest, StepsWaitForTheFirstToken) {
  StartAndRun();
  Step(1, {11, 12});
  Step(3, {13}, FinishCause::kMaxTokens);
  EXPECT_THAT(recorder_->ids, IsEmpty());
  First(10);
  EXPECT_THAT(recorder_->ids, ElementsAre(10, 11, 12, 13));
  EXPECT_EQ(End().cause, FinishCause::kMaxTokens);
}

TEST_F(GenerationTest, RepeatedTokensAreToldOnce) {
  StartAndRun();
  First(10);
  First(10);
  Step(1, {11, 12});
  Step(1, {11, 12});
  Step(2, {12, 13});
  EXPECT_THAT(recorder_->ids, ElementsAre(10, 11, 12, 13));
}

TEST_F(GenerationTest, AFirstTokenThatFinishesFreesTheTicket) {
  StartAndRun();
  First(10, FinishCause::kStopId);
  EXPECT_EQ(End().cause, FinishCause::kStopId);
  EXPECT_EQ(decode_->cancels, 1);
  EXPECT_EQ(prefill_->cancels, 0);
}

TEST_F(GenerationTest, EachFileIsBroughtOnceBeforeTheRun) {
  MediaItem a, b;
  a.content_hash = "a";
  b.content_hash = "b";
  Make({a, b, a});
  generation_->Start();
  generation_->OnTicket(1, 99);
  EXPECT_THAT(prefill_->uploads, ElementsAre("a"));
  prefill_->upload_done(absl::OkStatus());
  EXPECT_THAT(prefill_->uploads, ElementsAre("a", "b"));
  EXPECT_EQ(prefill_->runs, 0);
  prefill_->upload_done(absl::OkStatus());
  EXPECT_THAT(prefill_->uploads, ElementsAre("a", "b"));
  EXPECT_EQ(prefill_->runs, 1);
}

TEST_F(GenerationTest, AFailedUploadNamesTheField) {
  MediaItem item;
  item.kind = MediaKind::kImage;
  item.content_hash = "a";
  item.field = "messages[0].parts[2].image.data";
  Make({item});
  generation_->Start();
  generation_->OnTicket(1, 99);
  prefill_->upload_done(InvalidField(Reason::kMediaUndecodable, "image", "an intact file", "mud"));
  EXPECT_EQ(EndReason(), Reason::kMediaUndecodable);
  EXPECT_EQ(GetErrorDetail(End().status)->field, "messages[0].parts[2].image.data");
  EXPECT_EQ(decode_->cancels, 1);
}

TEST_F(GenerationTest, APrefillErrorNamesTheFieldOfTheRequest) {
  MediaItem first, second;
  first.content_hash = "a";
  second.content_hash = "b";
  first.kind = second.kind = MediaKind::kImage;
  first.field = "messages[0].parts[0].image.data";
  second.field = "messages[0].parts[1].image.data";
  Make({first, second});
  generation_->Start();
  generation_->OnTicket(1, 99);
  prefill_->upload_done(absl::OkStatus());
  prefill_->upload_done(absl::OkStatus());
  generation_->OnPrefillEnded(
      1, PrefixField(InvalidField(Reason::kMediaUndecodable, "image", "an intact file", "mud"),
                     "media[1]"));
  EXPECT_EQ(GetErrorDetail(End().status)->field, "messages[0].parts[1].image.data");
  EXPECT_EQ(End().status.message(),
            "messages[0].parts[1].image.data: found mud, allowed is an intact file");
}

TEST_F(GenerationTest, ARefusalIsPassedOn) {
  Make();
  generation_->Start();
  generation_->OnDecodeEnded(1, Draining());
  EXPECT_EQ(EndReason(), Reason::kDraining);
  EXPECT_EQ(prefill_->runs, 0);
  EXPECT_EQ(decode_->cancels, 0) << "it holds nothing";
}

TEST_F(GenerationTest, UntypedWorkerErrorsDoNotLeak) {
  StartAndRun();
  generation_->OnPrefillEnded(1, absl::InternalError("segfault at 0x7ffe"));
  EXPECT_EQ(EndReason(), Reason::kInvariant);
  EXPECT_EQ(End().status.message(), "a worker failed in a way it did not explain");
  EXPECT_EQ(decode_->cancels, 1);
}

TEST_F(GenerationTest, WorkersThatAreGoneBeforehand) {
  decode_->connected = false;
  Make();
  generation_->Start();
  EXPECT_EQ(EndReason(), Reason::kNoDecodeWorker);
  recorder_ = std::make_shared<Recorder>();
  decode_->connected = true;
  prefill_->connected = false;
  StartAndRun();
  EXPECT_EQ(EndReason(), Reason::kNoPrefillWorker);
  EXPECT_EQ(decode_->cancels, 1);
}

TEST_F(GenerationTest, LosingTheDecodeWorkerEndsIt) {
  StartAndRun();
  First(10);
  generation_->OnDecodeLost();
  EXPECT_EQ(EndReason(), Reason::kWorkerLost);
  EXPECT_EQ(prefill_->cancels, 1) << "it may still be sending KV";
  EXPECT_EQ(decode_->cancels, 0);
}

TEST_F(GenerationTest, LosingThePrefillWorkerMattersUntilTheKvIsThere) {
  StartAndRun();
  First(10);
  generation_->OnPrefillLost();
  EXPECT_EQ(EndReason(), Reason::kWorkerLost);
  EXPECT_EQ(decode_->cancels, 1);

  recorder_ = std::make_shared<Recorder>();
  StartAndRun();
  First(10);
  Step(1, {11});
  generation_->OnPrefillLost();
  generation_->OnPrefillEnded(1, absl::UnavailableError("its last words"));
  Step(2, {12}, FinishCause::kMaxTokens);
  EXPECT_TRUE(End().status.ok());
}

TEST_F(GenerationTest, MessagesOfAnotherEpochAreIgnored) {
  StartAndRun();
  generation_->OnPrefillEnded(2, absl::InternalError("x"));
  generation_->OnDecodeEnded(0, absl::InternalError("x"));
  generation_->OnFirstToken(2, 5, FinishCause::kNone, {});
  generation_->OnStepTokens(2, 0, {6, 7}, FinishCause::kMaxTokens, std::nullopt);
  EXPECT_FALSE(generation_->ended());
  EXPECT_TRUE(recorder_->ids.empty());
  First(10, FinishCause::kMaxTokens);
  EXPECT_THAT(recorder_->ids, ElementsAre(10));
}

TEST_F(GenerationTest, ATicketOfAnotherEpochIsNotUsed) {
  Make();
  generation_->Start();
  generation_->OnTicket(2, 99);
  EXPECT_EQ(prefill_->runs, 0);
}

TEST_F(GenerationTest, TheDeadlineTellsThePhase) {
  const auto reason_after = [this](int events) {
    recorder_ = std::make_shared<Recorder>();
    Make();
    generation_->Start();
    if (events > 0) generation_->OnTicket(1, 99);
    if (events > 1) First(10);
    if (events > 2) Step(1, {11});
    generation_->OnDeadline();
    return EndReason();
  };
  EXPECT_EQ(reason_after(0), Reason::kQueueDeadline);
  EXPECT_EQ(reason_after(1), Reason::kPrefillDeadline);
  EXPECT_EQ(reason_after(2), Reason::kTransferDeadline);
  EXPECT_EQ(reason_after(3), Reason::kDecodeDeadline);
  EXPECT_EQ(decode_->cancels, 4);
  EXPECT_EQ(prefill_->cancels, 2) << "not before the run, not after the KV has arrived";
}

TEST_F(GenerationTest, ADeadlineThatAWorkerNoticesFirstTellsThePhaseToo) {
  const absl::Status late = MakeError(absl::StatusCode::kDeadlineExceeded, "late",
                                      {.reason = Reason::kTransferDeadline,
                                       .field = "",
                                       .limit = "",
                                       .actual = "",
                                       .retry_after = std::nullopt});
  StartAndRun();
  clock_.Advance(absl::Seconds(10) - absl::Milliseconds(1));
  generation_->OnDecodeEnded(1, late);
  EXPECT_EQ(EndReason(), Reason::kPrefillDeadline);

  recorder_ = std::make_shared<Recorder>();
  StartAndRun();
  First(10);
  clock_.Advance(absl::Seconds(10) - absl::Milliseconds(1));
  generation_->OnPrefillEnded(1, late);
  EXPECT_EQ(EndReason(), Reason::kTransferDeadline);
  EXPECT_NE(End().status.message(), "late");

  recorder_ = std::make_shared<Recorder>();
  StartAndRun();
  generation_->OnPrefillEnded(1, late);
  EXPECT_EQ(End().status, late) << "not the request's deadline: a transfer that stalled";
}

TEST_F(GenerationTest, AStopStringEndsItAndFreesTheDecodeWorker) {
  recorder_->enough_at = 2;
  StartAndRun();
  First(10);
  Step(1, {11, 12});
  EXPECT_TRUE(End().status.ok());
  EXPECT_EQ(End().cause, FinishCause::kStopString);
  EXPECT_EQ(decode_->cancels, 1);
  EXPECT_EQ(decode_->reason, "finished");
}

TEST_F(GenerationTest, TooManyTokensAreAnError) {
  Make({}, /*output_tokens_max=*/2);
  generation_->Start();
  generation_->OnTicket(1, 99);
  First(10);
  Step(1, {11, 12});
  EXPECT_EQ(EndReason(), Reason::kInvariant);
  EXPECT_EQ(decode_->cancels, 1);
}

// ---- A random walk: two workers that keep to the protocol, a client that may leave, connections
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
    if (walk_.OneIn(5)) recorder_->enough_at = walk_.Between(1, 6);
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
      return generation_->OnDecodeLost();
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
    const FinishCause finish = count == left ? FinishCause::kMaxTokens : FinishCause::kNone;
    last_step_ = {next_step_, ids, finish};
    next_step_ += count;
    if (finish != FinishCause::kNone) decode_->holds = false;
    generation_->OnStepTokens(1, last_step_.first, ids, finish, std::nullopt);
  }

  // A message that was sent before, once more.
  void Repeat() {
    if (last_step_.ids.empty()) return;
    generation_->OnStepTokens(1, last_step_.first, last_step_.ids, last_step_.finish, std::nullopt);
  }

  // The KV may be committed, and the decode worker's steps may arrive, before the gateway hears of
  // the first token.
  void ActPrefill() {
    if (prefill_->runs == 0 || prefill_lost_ || prefill_ended_) return;
    if (Disturb(60)) {
      prefill_lost_ = true;
      prefill_->holds = false;
      return generation_->OnPrefillLost();
    }
    if (!committed_ && prefill_->holds && walk_.OneIn(2)) {
      committed_ = true;
      return;
    }
    const bool is_whole = answer_.size() == 1;
    if (!first_sent_) {
      first_sent_ = true;
      if (is_whole) prefill_->holds = false;
      return generation_->OnFirstToken(
          1, answer_[0], is_whole ? FinishCause::kMaxTokens : FinishCause::kNone, PrefillPhases{});
    }
    if (walk_.OneIn(4)) return generation_->OnFirstToken(1, answer_[0], FinishCause::kNone, {});
    if (!committed_ && !is_whole) return;
    prefill_ended_ = true;
    prefill_->holds = false;
    generation_->OnPrefillEnded(1, absl::OkStatus());
  }

  void Check() {
    ASSERT_EQ(recorder_->results.size(), 1u) << "it ends exactly once";
    const GenerationResult& end = recorder_->results[0];
    ASSERT_LE(recorder_->ids.size(), answer_.size());
    EXPECT_TRUE(std::equal(recorder_->ids.begin(), recorder_->ids.end(), answer_.begin()))
        << "tokens come in order, none twice, none lost";
    if (end.status.ok() && end.cause != FinishCause::kStopString) {
      EXPECT_EQ(recorder_->ids, answer_);
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
    FinishCause finish = FinishCause::kNone;
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
