// Workers and a listener for tests of a Generation: they record what is asked of them; the test
// makes the events.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gateway/generation.h"
#include "gateway/request_error.h"
#include "runtime/base/error.h"

namespace cleave {

inline constexpr RequestNumber kNumber{7};

// What a worker says when it cannot go on.
inline absl::Status Failure(Reason reason) {
  return MakeError(absl::StatusCode::kAborted, "as the test wants",
                   {.reason = reason, .field = "", .limit = "", .actual = "", .retry_after = {}});
}

struct FakeDecode final : DecodeWorker {
  bool Expect(RequestNumber, uint32_t new_epoch, const SequenceOrder& order,
              absl::Duration time_left, std::shared_ptr<WorkerEvents> new_events) override {
    if (!connected) return false;
    ++expects;
    epoch = new_epoch;
    prompt = order.prompt_ids;
    emitted = order.emitted_ids;
    candidates = order.candidates;
    local = order.local;
    left = time_left;
    age = order.age;
    ticket = order.ticket;
    events = std::move(new_events);
    holds = true;
    ended_unheard = false;
    return true;
  }
  void CancelCandidate(RequestNumber, int candidate) override {
    EXPECT_TRUE(holds) << "a cancel for nothing";
    cancelled_candidates.push_back(candidate);
  }
  void Cancel(RequestNumber, const std::string& why) override {
    ++cancels;
    EXPECT_TRUE(holds || ended_unheard) << "a cancel for nothing";
    reason = why;
    holds = false;
    events = nullptr;
  }
  void Forget(RequestNumber) override { events = nullptr; }
  std::string name() const override { return "d"; }
  std::string kv_link_address() const override { return "d:1"; }

  bool connected = true;
  bool holds = false;  // as the worker sees it
  bool ended_unheard = false;
  bool local = false;
  int candidates = 0;
  int expects = 0;
  int cancels = 0;
  std::string reason;
  uint32_t epoch = 0;
  std::vector<TokenId> prompt, emitted;
  std::vector<int> cancelled_candidates;
  std::optional<uint64_t> ticket;
  absl::Duration left, age;
  std::shared_ptr<WorkerEvents> events;
};

struct FakePrefill final : PrefillWorker {
  void PutMedia(const MediaItem& item, absl::Duration,
                std::function<void(absl::Status)> done) override {
    uploads.push_back(item.content_hash);
    upload_done = std::move(done);
  }
  bool Run(RequestNumber, uint32_t new_epoch, const SequenceOrder& order, absl::Duration,
           uint64_t new_ticket, const std::string& decode_address,
           std::shared_ptr<WorkerEvents> new_events) override {
    if (!connected) return false;
    ++runs;
    epoch = new_epoch;
    emitted = order.emitted_ids;
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
  uint32_t epoch = 0;
  std::vector<TokenId> emitted;
  uint64_t ticket = 0;
  std::string address;
  std::vector<std::string> uploads;
  std::function<void(absl::Status)> upload_done;
  std::shared_ptr<WorkerEvents> events;
};

// Gives the routes that the test sets, and keeps the calls until the test makes them.
struct FakeRerouter final : Rerouter {
  absl::StatusOr<Route> ChooseAgain(const Route&) override {
    ++choices;
    if (next.decode == nullptr) return absl::UnavailableError("none");
    return next;
  }
  void After(absl::Duration pause, std::function<void()> new_call) override {
    EXPECT_EQ(call, nullptr) << "one call at a time";
    last_pause = pause;
    call = std::move(new_call);
  }
  void OnReplay(Reason reason, const Route&, const Route&) override { reasons.push_back(reason); }
  // Makes the call that is due, if any.
  void MakeCall() {
    if (const auto due = std::exchange(call, nullptr)) due();
  }

  Route next;
  int choices = 0;
  absl::Duration last_pause;
  std::function<void()> call;
  std::vector<Reason> reasons;
};

// What was told of each candidate.
struct Recorder final : GenerationListener {
  TokenVerdict OnTokens(int candidate, const AnswerTokens& tokens, EndCause new_cause) override {
    std::vector<TokenId>& told = ids[candidate];
    EXPECT_TRUE(results.empty()) << "tokens after the end";
    EXPECT_EQ(complete.count(candidate), 0u) << "tokens after the end of " << candidate;
    EXPECT_FALSE(tokens.ids.empty());
    told.insert(told.end(), tokens.ids.begin(), tokens.ids.end());
    for (const LogProbabilitySet& set : tokens.log_probabilities) {
      log_probabilities[candidate].push_back(set.chosen);
    }
    cause[candidate] = new_cause;
    const int limit = enough_at[candidate];
    const bool enough = limit > 0 && static_cast<int>(told.size()) >= limit;
    if (enough || new_cause != EndCause::kNone) complete.insert(candidate);
    return {.enough = enough, .error = error};
  }
  void OnEnd(const GenerationResult& result) override { results.push_back(result); }

  std::map<int, std::vector<TokenId>> ids;
  std::map<int, std::vector<float>> log_probabilities;
  std::map<int, EndCause> cause;
  std::set<int> complete;
  std::vector<GenerationResult> results;
  std::map<int, int> enough_at;  // so many tokens; 0: never
  absl::Status error;
};

// A generation on one pair of workers, with another pair for the next try.
class RerouteTest : public testing::Test {
 protected:
  RerouteTest() { rerouter_.next = {other_prefill_, other_decode_}; }
  ~RerouteTest() override {
    if (generation_ != nullptr) generation_->Cancel(CancelledByClient());
  }

  void Begin(SequenceOrder order) {
    generation_ =
        std::make_shared<Generation>(GenerationOptions{.number = kNumber,
                                                       .order = std::move(order),
                                                       .route = {prefill_, decode_},
                                                       .accepted = clock_.Now(),
                                                       .deadline = clock_.Now() + absl::Hours(1),
                                                       .rerouter = &rerouter_},
                                     recorder_, clock_);
    generation_->Start();
    generation_->OnTicket(1, 99);
  }
  // The decode worker of this try dies; it is not there for a Cancel.
  void LoseDecode(FakeDecode& worker) {
    worker.holds = false;
    generation_->OnDecodeLost(worker.epoch);
  }
  const GenerationResult& End() {
    EXPECT_EQ(recorder_->results.size(), 1u);
    return recorder_->results.at(0);
  }

  SimulatedClock clock_;
  std::shared_ptr<FakeDecode> decode_ = std::make_shared<FakeDecode>();
  std::shared_ptr<FakePrefill> prefill_ = std::make_shared<FakePrefill>();
  std::shared_ptr<FakeDecode> other_decode_ = std::make_shared<FakeDecode>();
  std::shared_ptr<FakePrefill> other_prefill_ = std::make_shared<FakePrefill>();
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  FakeRerouter rerouter_;
  std::shared_ptr<Generation> generation_;
};

}  // namespace cleave
