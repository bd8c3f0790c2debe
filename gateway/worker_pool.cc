#include "gateway/worker_pool.h"

#include <algorithm>
#include <utility>

#include "runtime/base/log.h"

namespace cleave {
namespace {

constexpr absl::Duration kClosePatience = absl::Seconds(2);

template <typename Connections>
int CountUsable(const Connections& connections) {
  return static_cast<int>(
      std::count_if(connections.begin(), connections.end(),
                    [](const auto& connection) { return connection->Status().usable; }));
}

}  // namespace

WorkerPool::WorkerPool(const WorkerPoolOptions& options, const Clock& clock, TimerQueue& timers,
                       std::function<void(const PoolState&)> on_change)
    : on_change_(std::move(on_change)), readiness_(std::make_shared<Readiness>()) {
  const ConnectionContext context{
      .clock = &clock,
      .timers = &timers,
      .options = options.connection,
      .on_change = [readiness = readiness_] { Update(*readiness); },
  };
  for (const std::string& address : options.prefill_addresses) {
    prefill_.push_back(std::make_shared<PrefillConnection>(address, context));
  }
  for (const std::string& address : options.decode_addresses) {
    decode_.push_back(std::make_shared<DecodeConnection>(address, context));
  }
  {
    MutexLock lock(readiness_->mutex);
    readiness_->pool = this;
  }
  for (const auto& worker : prefill_) worker->Start();
  for (const auto& worker : decode_) worker->Start();
}

WorkerPool::~WorkerPool() {
  {
    MutexLock lock(readiness_->mutex);
    readiness_->pool = nullptr;
  }
  for (const auto& worker : prefill_) worker->Close();
  for (const auto& worker : decode_) worker->Close();
  // Only now has every request ended, so that none begins another upload.
  for (const auto& worker : prefill_) worker->WaitUntilClosed(kClosePatience);
  for (const auto& worker : decode_) worker->WaitUntilClosed(kClosePatience);
}

void WorkerPool::Update(Readiness& readiness) {
  MutexLock lock(readiness.mutex);
  if (readiness.pool == nullptr) return;
  const absl::Status status = readiness.pool->Choose().status();
  const PoolState state{.ready = status.ok(),
                        .prefill_usable = CountUsable(readiness.pool->prefill_),
                        .decode_usable = CountUsable(readiness.pool->decode_)};
  if (!state.ready && readiness.why_not != status.message()) {
    readiness.why_not = std::string(status.message());
    Log(readiness.was_ready ? Severity::kWarning : Severity::kInfo, "cannot_serve",
        {{"why", readiness.why_not}});
  }
  if (state == readiness.state) return;
  if (state.ready) {
    readiness.was_ready = true;
    readiness.why_not.clear();
  }
  readiness.state = state;
  readiness.pool->on_change_(state);
}

absl::StatusOr<Route> WorkerPool::Choose() const {
  std::vector<PrefillCandidate> prefill;
  std::vector<DecodeCandidate> decode;
  prefill.reserve(prefill_.size());
  decode.reserve(decode_.size());
  for (const auto& worker : prefill_) prefill.push_back({worker, worker->Status()});
  for (const auto& worker : decode_) decode.push_back({worker, worker->Status()});
  // What was chosen a moment ago does not show in any load yet. The first of equals wins, so each
  // choice begins at another worker, and a burst spreads.
  const size_t turn = turns_.fetch_add(1, std::memory_order_relaxed);
  const auto rotate = [turn](auto& candidates) {
    if (candidates.empty()) return;
    std::rotate(candidates.begin(),
                candidates.begin() + static_cast<std::ptrdiff_t>(turn % candidates.size()),
                candidates.end());
  };
  rotate(prefill);
  rotate(decode);
  return ChooseRoute(prefill, decode);
}

int WorkerPool::context_tokens_max(int otherwise) const {
  int smallest = otherwise;
  const auto include = [&smallest](const WorkerConnection& worker) {
    const int tokens = worker.context_tokens_max();
    if (tokens > 0) smallest = std::min(smallest, tokens);
  };
  for (const auto& worker : prefill_) include(*worker);
  for (const auto& worker : decode_) include(*worker);
  return smallest;
}

}  // namespace cleave
