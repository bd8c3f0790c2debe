#include "gateway/worker_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/base/log.h"

namespace cleave {
namespace {

constexpr absl::Duration kClosePatience = absl::Seconds(2);

template <typename Candidate>
int CountUsable(const std::vector<Candidate>& candidates) {
  return static_cast<int>(
      std::count_if(candidates.begin(), candidates.end(),
                    [](const Candidate& candidate) { return candidate.status.usable; }));
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
  const Candidates now = readiness.pool->Look();
  const absl::Status status = ChooseRoute(now.prefill, now.decode).status();
  const PoolState state{.ready = status.ok(),
                        .prefill_usable = CountUsable(now.prefill),
                        .decode_usable = CountUsable(now.decode)};
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

WorkerPool::Candidates WorkerPool::Look() const {
  Candidates now;
  now.prefill.reserve(prefill_.size());
  now.decode.reserve(decode_.size());
  for (const auto& worker : prefill_) now.prefill.push_back({worker, worker->Status()});
  for (const auto& worker : decode_) now.decode.push_back({worker, worker->Status()});
  return now;
}

absl::StatusOr<Route> WorkerPool::Choose(RouteKind kind) const { return ChooseAmong(kind, Look()); }

absl::StatusOr<Route> WorkerPool::ChooseAgain(const Route& last) const {
  const Candidates now = Look();
  const RouteKind kind = last.is_local() ? RouteKind::kLocal : RouteKind::kDisaggregated;
  const auto choose = [&](RouteKind of, bool equal) {
    const auto fits = [&](const auto& candidate) {
      return candidate.status.context_tokens_max >= last.context_tokens_max &&
             (!equal || candidate.status.compatibility == last.compatibility);
    };
    Candidates fitting;
    std::copy_if(now.prefill.begin(), now.prefill.end(), std::back_inserter(fitting.prefill), fits);
    std::copy_if(now.decode.begin(), now.decode.end(), std::back_inserter(fitting.decode), fits);
    return ChooseAmong(of, std::move(fitting));
  };
  absl::StatusOr<Route> route = choose(kind, true);
  if (!route.ok()) route = choose(kind, false);
  if (!route.ok() && last.is_free && last.is_local())
    route = choose(RouteKind::kDisaggregated, true);
  if (route.ok()) route->is_free = last.is_free;
  return route;
}

absl::StatusOr<Route> WorkerPool::ChooseAmong(RouteKind kind, Candidates now) const {
  // What was chosen a moment ago does not show in any load yet. The first of equals wins, so each
  // choice begins at another worker, and a burst spreads.
  const size_t turn = turns_.fetch_add(1, std::memory_order_relaxed);
  const auto rotate = [turn](auto& candidates) {
    if (candidates.empty()) return;
    std::rotate(candidates.begin(),
                candidates.begin() + static_cast<std::ptrdiff_t>(turn % candidates.size()),
                candidates.end());
  };
  rotate(now.prefill);
  rotate(now.decode);
  return kind == RouteKind::kLocal ? ChooseLocalRoute(now.decode)
                                   : ChooseRoute(now.prefill, now.decode);
}

int WorkerPool::context_tokens_max(int otherwise) const {
  int smallest = otherwise;
  const auto include = [&smallest](const auto& candidates) {
    for (const auto& candidate : candidates) {
      if (candidate.status.usable) {
        smallest = std::min(smallest, candidate.status.context_tokens_max);
      }
    }
  };
  const Candidates now = Look();
  include(now.prefill);
  include(now.decode);
  return smallest;
}

}  // namespace cleave
