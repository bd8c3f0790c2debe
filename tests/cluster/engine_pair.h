// A prefill and a decode engine in one process, joined by the real KV link over loopback, for
// tests.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "decode/decode_engine.h"
#include "decode/decode_link.h"
#include "engine/worker_state.h"
#include "prefill/prefill_engine.h"
#include "prefill/prefill_link.h"
#include "runtime/rpc/server.h"
#include "tests/cluster/prompts.h"
#include "tests/support/status_matchers.h"

namespace cleave::testing {

inline constexpr absl::Duration kPatience = absl::Seconds(60);

// What the gateway would hear about one request.
class Answer final : public PrefillReplies, public DecodeReplies {
 public:
  void OnFirstToken(RequestKey, RequestEpoch, int candidate, const TokenChoice& token,
                    FinishCause finish, const PrefillTimings& timings) override {
    static std::atomic<int> firsts{0};
    std::lock_guard lock(mutex_);
    cached_tokens_ = timings.cached_tokens;
    if (candidate == 0) rank_ = ++firsts;
    firsts_[candidate] = token.id;
    if (finish != FinishCause::kNone) --unfinished_;
    changed_.notify_all();
  }
  void OnEnded(RequestKey, RequestEpoch, const absl::Status& status, int64_t kv_bytes) override {
    std::lock_guard lock(mutex_);
    if (!status.ok()) failure_ = status;
    kv_bytes_ = kv_bytes;
    prefill_ended_ = true;
    changed_.notify_all();
  }
  void OnTicket(RequestKey, TransferId transfer) override {
    std::lock_guard lock(mutex_);
    ticket_ = transfer.ticket;
    changed_.notify_all();
  }
  void OnStep(absl::Span<const StepTokens> sequences) override {
    std::lock_guard lock(mutex_);
    for (const StepTokens& step : sequences) {
      std::vector<int32_t>& rest = rest_[step.candidate];
      rest.insert(rest.end(), step.tokens.begin(), step.tokens.end());
      if (step.finish != FinishCause::kNone) --unfinished_;
    }
    changed_.notify_all();
  }
  void OnEnded(RequestKey, RequestEpoch, const absl::Status& status) override {
    std::lock_guard lock(mutex_);
    failure_ = status;
    changed_.notify_all();
  }

  Ticket WaitForTicket() {
    std::unique_lock lock(mutex_);
    Wait(lock, [this] { return ticket_.has_value() || !failure_.ok(); });
    return ticket_.value_or(Ticket{});
  }
  std::vector<int32_t> WaitForTokens() {
    std::unique_lock lock(mutex_);
    Wait(lock, [this] { return HasEnded(); });
    EXPECT_OK(failure_);
    return TokensOf(0);
  }
  std::vector<std::vector<int32_t>> WaitForCandidates() {
    std::unique_lock lock(mutex_);
    Wait(lock, [this] { return HasEnded(); });
    EXPECT_OK(failure_);
    return Candidates();
  }
  void WaitForStep(int candidate) {
    std::unique_lock lock(mutex_);
    Wait(lock, [this, candidate] { return !rest_[candidate].empty(); });
  }
  // Whether nothing more will come; then `status` and `candidates` are what came.
  bool Ended(absl::Status& status, std::vector<std::vector<int32_t>>& candidates) {
    std::lock_guard lock(mutex_);
    if (!HasEnded()) return false;
    status = failure_;
    candidates = Candidates();
    return true;
  }
  void WaitForEnd(absl::Status& status, std::vector<int32_t>& tokens) {
    std::unique_lock lock(mutex_);
    Wait(lock, [this] { return HasEnded(); });
    status = failure_;
    tokens = TokensOf(0);
  }
  absl::Status failure() {
    std::lock_guard lock(mutex_);
    return failure_;
  }
  // No prefill worker takes part.
  void set_local() { local_ = true; }
  void set_candidates(int candidates) { candidates_ = unfinished_ = candidates; }
  // Nothing more comes of one of them.
  void LeaveOneOut() {
    std::lock_guard lock(mutex_);
    --unfinished_;
  }
  // A smaller one had its first token earlier.
  int rank() {
    std::lock_guard lock(mutex_);
    return rank_;
  }
  // Positions of the prompt that the prefix cache had.
  int64_t cached_tokens() {
    std::lock_guard lock(mutex_);
    return cached_tokens_;
  }
  int64_t kv_bytes() {
    std::lock_guard lock(mutex_);
    return kv_bytes_;
  }

 private:
  bool HasEnded() const {
    return !failure_.ok() || (unfinished_ == 0 && (prefill_ended_ || local_));
  }
  std::vector<std::vector<int32_t>> Candidates() {
    std::vector<std::vector<int32_t>> answers;
    for (int i = 0; i < candidates_; ++i) answers.push_back(TokensOf(i));
    return answers;
  }
  // Without a first token, what came after it is no answer.
  std::vector<int32_t> TokensOf(int candidate) {
    std::vector<int32_t> tokens;
    const auto first = firsts_.find(candidate);
    if (first != firsts_.end()) tokens.push_back(first->second);
    const std::vector<int32_t>& rest = rest_[candidate];
    if (local_ || !tokens.empty()) tokens.insert(tokens.end(), rest.begin(), rest.end());
    return tokens;
  }
  template <typename Condition>
  void Wait(std::unique_lock<std::mutex>& lock, Condition condition) {
    EXPECT_TRUE(changed_.wait_for(lock, absl::ToChronoSeconds(kPatience), condition));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Ticket> ticket_;
  std::map<int, int32_t> firsts_;  // by candidate
  int rank_ = 0;
  std::map<int, std::vector<int32_t>> rest_;
  int64_t kv_bytes_ = 0;
  int64_t cached_tokens_ = 0;
  bool prefill_ended_ = false;
  bool local_ = false;
  int candidates_ = 1;
  int unfinished_ = 1;  // of them
  absl::Status failure_;
};

// Both workers, with nothing between them but the link.
class EnginePair {
 public:
  explicit EnginePair(int64_t chunk_tokens, DType kv_dtype = DType::kFloat32,
                      int64_t kv_bytes_max = int64_t{64} << 20,
                      std::optional<int64_t> decode_kv_bytes_max = std::nullopt) {
    ModelHostOptions options{.folder = kModel,
                             .kv = {.page_tokens = kPageTokens, .dtype = kv_dtype},
                             .kv_bytes_max = kv_bytes_max,
                             .context_tokens_max = 512,
                             .poison_free_pages = true};
    prefill_host_ = *ModelHost::Load(options);
    options.drafter_folder = kDrafter;
    options.kv_bytes_max = decode_kv_bytes_max.value_or(kv_bytes_max);
    options.step_sequences_max = kSequences;
    options.step_rows_max = kSequences + kPromptRows;
    options.step_outputs_max = kSequences + 1;
    decode_host_ = *ModelHost::Load(options);
    const LinkIdentity identity =
        MakeLinkIdentity(MakeWorkerIdentity(cluster::v1::WORKER_ROLE_DECODE, "d", *decode_host_));
    decode_link_ =
        std::make_unique<DecodeLink>(ReceiverLinksOptions{.identity = identity,
                                                          .incarnation = Incarnation{1},
                                                          .shape = decode_host_->layout().shape()},
                                     clock_, decode_metrics_.kvlink);
    decode_step_ = *DecodeStep::Create(*decode_host_, clock_, {}, kPromptRows);
    decode_ = std::make_unique<DecodeEngine>(
        *decode_host_, *decode_step_, *decode_link_, clock_, decode_metrics_,
        DecodeEngineOptions{.sequences_max = kSequences, .prompt_rows_max = kPromptRows});
    decode_link_->Attach(*decode_);
    decode_->Start();
    server_ = *RpcServer::Start(
        {.address = "127.0.0.1:0", .message_bytes_max = GrpcLinkServer::MessageBytesMax({})},
        {&decode_link_->server().service()});
    prefill_link_ = std::make_unique<PrefillLink>(
        SenderLinksOptions{.identity = identity,
                           .incarnation = Incarnation{2},
                           .shape = prefill_host_->layout().shape()},
        grpc::InsecureChannelCredentials(), clock_, prefill_metrics_.kvlink);
    prefill_ =
        std::make_unique<PrefillEngine>(*prefill_host_, *prefill_link_, clock_, prefill_metrics_,
                                        PrefillEngineOptions{.chunk_tokens = chunk_tokens});
    prefill_link_->Attach(*prefill_);
    prefill_->Start();
  }

  ~EnginePair() {
    prefill_link_->client().Shutdown();
    decode_link_->server().Shutdown();
    server_->Shutdown(absl::ZeroDuration());
    prefill_.reset();
    decode_.reset();
    // Every page has come home.
    for (ModelHost* host : {prefill_host_.get(), decode_host_.get()}) {
      EXPECT_EQ(host->pools().full.num_free(), host->pools().full.num_pages());
      EXPECT_EQ(host->pools().sliding.num_free(), host->pools().sliding.num_pages());
    }
  }

  // Ends the link, and says what its two ends have counted.
  std::pair<int64_t, int64_t> BytesSentAndReceived() {
    prefill_link_->client().Shutdown();
    decode_link_->server().Shutdown();
    return {static_cast<int64_t>(prefill_metrics_.kvlink.bytes_total.Value()),
            static_cast<int64_t>(decode_metrics_.kvlink.bytes_total.Value())};
  }

  RequestKey Ask(SequenceRequest request, std::vector<PreparedMedia> media,
                 const std::shared_ptr<Answer>& answer) {
    const RequestKey key{SessionId{1}, ++requests_};
    request.accepted = clock_.Now();
    answer->set_candidates(request.candidates);
    EXPECT_TRUE(decode_->Submit(
        {.key = key, .epoch = RequestEpoch{1}, .request = request, .replies = answer}));
    const Ticket ticket = answer->WaitForTicket();
    if (!answer->failure().ok()) return key;
    EXPECT_TRUE(prefill_->Submit({.key = key,
                                  .request = request,
                                  .transfer = {ticket, RequestEpoch{1}},
                                  .decode_address = absl::StrCat("127.0.0.1:", server_->port()),
                                  .replies = answer,
                                  .accepted = clock_.Now(),
                                  .media = std::move(media)}));
    return key;
  }
  // The decode engine does it all.
  RequestKey AskLocally(SequenceRequest request, const std::shared_ptr<Answer>& answer) {
    const RequestKey key{SessionId{1}, ++requests_};
    request.accepted = clock_.Now();
    answer->set_local();
    EXPECT_TRUE(decode_->Submit({.key = key,
                                 .epoch = RequestEpoch{1},
                                 .local = true,
                                 .request = request,
                                 .replies = answer}));
    return key;
  }
  void Cancel(RequestKey key) {
    CancelPrefill(key, clock_.Now());
    decode_->Cancel(key);
  }
  void CancelCandidate(RequestKey key, int candidate) { decode_->CancelCandidate(key, candidate); }
  // As one that was sent at that time.
  void CancelPrefill(RequestKey key, absl::Time at) {
    prefill_->Cancel(key, Reason::kCancelled, at);
  }

  double preemptions() const { return decode_metrics_.preemptions_total.Value(); }
  double unaccounted_pages() const {
    return prefill_metrics_.load.kv_pages_unaccounted.Value() +
           decode_metrics_.load.kv_pages_unaccounted.Value();
  }
  double cache_evictions() const { return prefill_metrics_.prefix_cache_evictions_total.Value(); }

  KvShape shape() const { return decode_host_->layout().shape(); }

 private:
  static constexpr int kSequences = 32, kPromptRows = 128;

  RealClock clock_;
  prometheus::Registry registry_;
  PrefillMetrics prefill_metrics_{registry_};
  prometheus::Registry decode_registry_;
  DecodeMetrics decode_metrics_{decode_registry_};
  std::unique_ptr<ModelHost> prefill_host_, decode_host_;
  std::unique_ptr<DecodeLink> decode_link_;
  std::unique_ptr<DecodeStep> decode_step_;
  std::unique_ptr<DecodeEngine> decode_;
  std::unique_ptr<PrefillLink> prefill_link_;
  std::unique_ptr<PrefillEngine> prefill_;
  std::unique_ptr<RpcServer> server_;
  uint64_t requests_ = 0;
};

}  // namespace cleave::testing
