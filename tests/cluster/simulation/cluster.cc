#include "tests/cluster/simulation/cluster.h"

#include <algorithm>

#include "gateway/request_error.h"

namespace cleave::simulation {
namespace {

constexpr absl::Duration kTimeMax = absl::Minutes(10);
constexpr int kEventsMax = 2'000'000;

SequenceOrder OrderOf(const SequenceRequest& request) {
  SequenceOrder order{.prompt_ids = request.prompt_ids,
                      .media = {},
                      .emitted_ids = {},
                      .sampling = {.temperature = request.sampling.temperature,
                                   .top_k = static_cast<uint32_t>(request.sampling.top_k),
                                   .top_p = request.sampling.top_p,
                                   .min_p = request.sampling.min_p,
                                   .seed = request.sampling.seed},
                      .stop_ids = request.stop_ids,
                      .output_tokens_max = static_cast<int>(request.output_tokens_max),
                      .candidates = request.candidates,
                      .cache_boundaries = request.cache_boundaries,
                      .request_id = request.request_id};
  for (const SoftSpan& span : request.media) {
    order.media.push_back(
        {.kind = span.kind == SoftKind::kAudio ? MediaKind::kAudio : MediaKind::kImage,
         .first = span.first_position,
         .tokens = static_cast<int>(span.tokens),
         .content_hash = std::string(span.content_hash.begin(), span.content_hash.end())});
  }
  return order;
}

}  // namespace

class Cluster::Call final : public GenerationListener {
 public:
  Call(const testing::Prompt& prompt, bool calm, RandomWalk& walk)
      : prompt_(prompt), calm_(calm), told_(prompt.candidates.size()) {
    for (const std::vector<int32_t>& answer : prompt.candidates) {
      const auto length = static_cast<int>(answer.size());
      enough_at_.push_back(static_cast<size_t>(walk.OneIn(6) ? walk.Between(1, length) : length));
    }
  }
  TokenVerdict OnTokens(int candidate, const AnswerTokens& tokens, EndCause cause) override {
    EXPECT_FALSE(ended_) << "tokens after the end";
    const auto index = static_cast<size_t>(candidate);
    const std::vector<int32_t>& expected = prompt_.candidates.at(index);
    std::vector<int32_t>& told = told_.at(index);
    EXPECT_LT(told.size(), enough_at_[index]) << "tokens behind a stop string";
    told.insert(told.end(), tokens.ids.begin(), tokens.ids.end());
    EXPECT_TRUE(told.size() <= expected.size() &&
                std::equal(told.begin(), told.end(), expected.begin()))
        << prompt_.name << ": other tokens than those of the model alone";
    EXPECT_EQ(cause, told.size() == expected.size() ? CauseOf(expected) : EndCause::kNone);
    return {.enough = told.size() >= enough_at_[index], .error = {}};
  }
  void OnEnd(const GenerationResult& result) override {
    EXPECT_FALSE(std::exchange(ended_, true)) << "ended twice";
    status_ = result.status;
    if (status_.ok()) {
      for (size_t i = 0; i < told_.size(); ++i) EXPECT_GE(told_[i].size(), enough_at_[i]);
      return;
    }
    EXPECT_FALSE(calm_) << status_;
    EXPECT_NE(GetReason(status_), Reason::kUnspecified) << status_;
    EXPECT_NE(GetReason(status_), Reason::kInvariant) << status_;
  }

  const testing::Prompt& prompt() const { return prompt_; }
  bool ended() const { return ended_; }
  const absl::Status& status() const { return status_; }
  std::shared_ptr<Generation> generation;  // once it has workers

 private:
  EndCause CauseOf(const std::vector<int32_t>& answer) const {
    const std::vector<int32_t>& stops = prompt_.request.stop_ids;
    const bool stopped = std::find(stops.begin(), stops.end(), answer.back()) != stops.end();
    return stopped ? EndCause::kStopId : EndCause::kMaxTokens;
  }

  const testing::Prompt& prompt_;
  const bool calm_;
  std::vector<size_t> enough_at_;           // tokens of each candidate: as a stop string, or all
  std::vector<std::vector<int32_t>> told_;  // of each candidate
  bool ended_ = false;
  absl::Status status_;
};

Cluster::Cluster(uint64_t seed, Hosts& hosts, const std::vector<testing::Prompt>& prompts,
                 Tally& tally)
    : walk_(seed), tally_(tally), faults_(walk_, tally), hosts_(hosts), prompts_(prompts) {
  limits_.lease = absl::Seconds(2);
  limits_.first_rate = 1e6;
  limits_.frame_bytes_max = walk_.Between(4000, 40'000);
  limits_.mover_bytes_max = walk_.Between(1, 100'000);
  limits_.credits = walk_.Between(1, 4);
  drafts_ = walk_.Between(-1, 4);
  prompt_rows_ = walk_.OneIn(2) ? walk_.Between(1, DecodeNode::kPromptRows) : 0;
  for (int i = walk_.Between(1, 2); i > 0; --i) AddPrefill("p" + std::to_string(i));
  for (int i = walk_.Between(1, 2); i > 0; --i) AddDecode("d" + std::to_string(i));
}

Cluster::~Cluster() = default;

void Cluster::AddPrefill(const std::string& address) {
  auto node = std::make_unique<PrefillNode>(*this, address, limits_);
  const auto media_of = [this](RequestNumber request) {
    return calls_[static_cast<size_t>(request)]->prompt().media;
  };
  auto connection = std::make_shared<PrefillConnection>(*this, *node, media_of, tally_);
  prefills_.push_back({std::move(node), std::move(connection)});
}

void Cluster::AddDecode(const std::string& address) {
  auto node = std::make_unique<DecodeNode>(*this, address, limits_, drafts_, prompt_rows_);
  auto connection = std::make_shared<DecodeConnection>(*this, *node);
  decodes_.push_back({std::move(node), std::move(connection)});
}

// The newest process at the address listens.
std::shared_ptr<Wire> Cluster::MakeWire(const Node& from, KvSender& sender,
                                        const std::string& address) {
  streams_.push_back(std::make_unique<Stream>(Stream{nullptr, &from, nullptr}));
  Stream& stream = *streams_.back();
  const auto connect = [this, address,
                        &stream](std::unique_ptr<ReceiverTransport> end) -> KvReceiver* {
    for (auto worker = decodes_.rbegin(); worker != decodes_.rend(); ++worker) {
      if (worker->node->address() != address) continue;
      stream.decode = worker->node.get();
      return worker->node->dead() ? nullptr : worker->node->Accept(std::move(end));
    }
    return nullptr;
  };
  stream.wire = std::make_shared<Wire>(events_, walk_, faults_, sender, connect);
  return stream.wire;
}

// ---- Requests.

absl::StatusOr<Route> Cluster::Choose(bool local) {
  const auto any = [this](const auto& workers) {
    std::vector<size_t> usable;
    for (size_t i = 0; i < workers.size(); ++i) {
      if (workers[i].connection->usable()) usable.push_back(i);
    }
    const size_t none = workers.size();
    return usable.empty()
               ? none
               : usable[static_cast<size_t>(walk_.Below(static_cast<int>(usable.size())))];
  };
  const size_t decode = any(decodes_), prefill = any(prefills_);
  if (decode == decodes_.size()) return NoDecodeWorker();
  Route route{.decode = decodes_[decode].connection, .context_tokens_max = 160};
  if (local && prompt_rows_ > 0) return route;
  if (prefill == prefills_.size()) return NoPrefillWorker();
  route.prefill = prefills_[prefill].connection;
  return route;
}

absl::StatusOr<Route> Cluster::ChooseAgain(const Route& last) { return Choose(last.is_local()); }

void Cluster::OnReplay(Reason reason, const Route&, const Route&) { ++tally_.replays[reason]; }

void Cluster::StartRequest(Call& call) {
  const SequenceRequest& request = call.prompt().request;
  const bool local = request.media.empty() && request.candidates == 1 && walk_.OneIn(3);
  absl::StatusOr<Route> route = Choose(local);
  if (!route.ok()) {  // a client asks again
    return events_.After(absl::Milliseconds(50), [this, &call] { StartRequest(call); });
  }
  if (route->is_local()) ++tally_.local;
  ++tally_.requests;
  const auto index = static_cast<size_t>(
      std::find_if(calls_.begin(), calls_.end(), [&](const auto& c) { return c.get() == &call; }) -
      calls_.begin());
  absl::Duration time = absl::Seconds(120);
  if (faults_.Happens(Fault::kShortOfTime, 4)) time = absl::Milliseconds(walk_.Between(1, 8000));
  SequenceOrder order = OrderOf(call.prompt().request);
  order.priority = static_cast<Priority>(walk_.Below(3));
  call.generation = std::make_shared<Generation>(GenerationOptions{.number = RequestNumber{index},
                                                                   .order = std::move(order),
                                                                   .route = *std::move(route),
                                                                   .accepted = events_.Now(),
                                                                   .deadline = events_.Now() + time,
                                                                   .rerouter = this},
                                                 calls_[index], events_.clock());
  call.generation->Start();
  events_.At(call.generation->deadline(), [g = call.generation] { g->OnDeadline(); });
  if (faults_.Happens(Fault::kLeave, 3)) {
    events_.After(absl::Microseconds(walk_.Below(100'000)),
                  [g = call.generation] { g->Cancel(CancelledByClient()); });
  }
}

// ---- Trouble.

void Cluster::CauseTrouble() {
  if (!streams_.empty()) {
    const auto index = static_cast<size_t>(walk_.Below(static_cast<int>(streams_.size())));
    Wire& wire = *streams_[index]->wire;
    if (faults_.Happens(Fault::kCut, 2)) wire.Cut();
    if (faults_.Happens(Fault::kBlackHole, 4)) wire.BlackHole();
  }
  TroubleWorkers(prefills_, Fault::kKillPrefill, Fault::kDrainPrefill);
  TroubleWorkers(decodes_, Fault::kKillDecode, Fault::kDrainDecode);
}

template <typename Workers>
void Cluster::TroubleWorkers(Workers& workers, Fault kill, Fault drain) {
  const auto index = static_cast<size_t>(walk_.Below(static_cast<int>(workers.size())));
  auto& worker = workers[index];
  if (worker.node->dead() || worker.connection->draining()) return;
  if (faults_.Happens(kill, 3)) return Kill(worker);
  if (faults_.Happens(drain, 3)) return Drain(worker);
  if (!worker.connection->attached() || !faults_.Happens(Fault::kPartition, 3)) return;
  worker.connection->Lose();
  events_.After(absl::Milliseconds(walk_.Below(5000)), [c = worker.connection] { c->Attach(); });
}

// Others hear of it at once, or when it has been silent for too long.
template <typename WorkerType>
void Cluster::Kill(WorkerType& worker) {
  Node& node = *worker.node;
  node.Kill();
  const bool silent = walk_.OneIn(3);
  events_.After(silent ? absl::Seconds(3) : absl::Milliseconds(1),
                [c = worker.connection] { c->Lose(); });
  for (const auto& stream : streams_) {
    const std::shared_ptr<Wire>& wire = stream->wire;
    if (stream->prefill != &node && stream->decode != &node) continue;
    wire->BlackHole();
    stream->prefill == &node ? wire->EndSender() : wire->EndReceiver();
    if (silent) continue;
    events_.After(absl::Milliseconds(1), [wire] {
      wire->EndSender();
      wire->EndReceiver();
    });
  }
  events_.After(absl::Milliseconds(walk_.Below(3000)), [this, &node] { Replace(node); });
}

template <typename WorkerType>
void Cluster::Drain(WorkerType& worker) {
  worker.connection->set_draining();
  Node& node = *worker.node;
  events_.After(absl::Milliseconds(walk_.Below(300)), [&node] {
    if (!node.dead()) node.Stop();
  });
  events_.After(absl::Milliseconds(walk_.Between(1000, 3000)),
                [this, &node, c = worker.connection] {
                  c->Lose();
                  if (!node.dead()) node.Kill();
                  Replace(node);
                });
}

void Cluster::Replace(const Node& node) {
  if (stopping_) return;
  const std::string address = walk_.OneIn(2) ? node.address() : node.address() + "'";
  address[0] == 'p' ? AddPrefill(address) : AddDecode(address);
}

// ---- Time.

void Cluster::Run() {
  for (int i = walk_.Between(1, 7); i > 0; --i) {
    const auto prompt = static_cast<size_t>(walk_.Below(static_cast<int>(prompts_.size())));
    calls_.push_back(std::make_shared<Call>(prompts_[prompt], faults_.calm(), walk_));
    const int within = walk_.OneIn(2) ? 1 : 300;  // milliseconds
    events_.After(absl::Microseconds(walk_.Below(1000 * within)),
                  [this, call = calls_.back()] { StartRequest(*call); });
  }
  for (int i = walk_.Between(1, 6); i > 0; --i) {
    events_.After(absl::Microseconds(walk_.Below(300'000)), [this] { CauseTrouble(); });
  }
  RunUntil([this] { return AllCallsEnded(); });
  stopping_ = true;
  faults_.Stop();
  ForEachNode([](Node& node) { node.Stop(); });
  RunUntil([this] {
    bool done = true;
    ForEachNode([&](Node& node) { done = done && node.done(); });
    return done;
  });
  if (::testing::Test::HasFailure()) return;
  for (const std::shared_ptr<Call>& call : calls_) {
    if (call->status().ok())
      ++tally_.completed;
    else
      ++tally_.failures[GetReason(call->status())];
  }
  for (const auto& worker : decodes_) {
    const DecodeMetrics& metrics = worker.node->metrics();
    tally_.preemptions += metrics.preemptions_total.Value();
    for (const prometheus::Counter* accepted : metrics.mtp_accepted) {
      tally_.drafts_accepted += accepted->Value();
    }
  }
}

void Cluster::RunUntil(const std::function<bool()>& done) {
  const absl::Time limit = events_.Now() + kTimeMax;
  for (int i = 0; !done(); ++i) {
    absl::Time next = events_.Next();
    ForEachNode([&](Node& node) { next = std::min(next, node.NextAct()); });
    ASSERT_LT(next, limit) << "something waits for what does not come";
    ASSERT_LT(i, kEventsMax) << "something turns round without getting on";
    events_.AdvanceTo(std::max(next, events_.Now()));
    ForEachNode([](Node& node) {
      node.Act();
      node.Check();
    });
    if (::testing::Test::HasFailure()) return;
  }
}

void Cluster::ForEachNode(const std::function<void(Node&)>& what) {
  for (size_t i = 0; i < prefills_.size(); ++i) what(*prefills_[i].node);
  for (size_t i = 0; i < decodes_.size(); ++i) what(*decodes_[i].node);
}

bool Cluster::AllCallsEnded() const {
  return std::all_of(calls_.begin(), calls_.end(), [](const auto& call) { return call->ended(); });
}

}  // namespace cleave::simulation
