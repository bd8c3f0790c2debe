#include "gateway/worker_connection.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "runtime/base/log.h"
#include "runtime/base/random.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

constexpr absl::Duration kKeepaliveInterval = absl::Seconds(10);  // as often as servers allow
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(3);
constexpr absl::Duration kConnectTimeout = absl::Seconds(1);  // of one attempt, and before the next

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

}  // namespace

Backoff::Backoff(const ConnectionOptions& options)
    : min_(options.backoff_min), max_(options.backoff_max), next_(min_), seed_(RandomSeed()) {}

absl::Duration Backoff::Next() {
  const auto words = Philox4x32({tries_++, 0, 0, 0},
                                {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
  const double share = static_cast<double>(words[0]) / 4294967296.0;  // of 1
  const absl::Duration wait = next_ * (0.75 + 0.5 * share);
  next_ = std::min(next_ * 2, max_);
  return wait;
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address,
                                           const ConnectionOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(kKeepaliveInterval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(kKeepaliveTimeout));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, Milliseconds(options.backoff_min));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, Milliseconds(kConnectTimeout));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Milliseconds(options.backoff_max));
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

std::string Compatibility(const cluster::v1::WorkerIdentity& identity) {
  return absl::StrJoin({identity.build(), identity.weights_fingerprint(), identity.kv_layout(),
                        identity.numerics_fingerprint()},
                       "\n");
}

// Deletes itself when the call is over.
class WorkerConnection::WatchReactor final
    : public grpc::ClientReadReactor<cluster::v1::WorkerState> {
 public:
  explicit WatchReactor(std::shared_ptr<WorkerConnection> connection)
      : call_(connection->calls_), connection_(std::move(connection)) {}

  void Begin() {
    call_.Bind(context_);
    connection_->worker_stub_->async()->Watch(&context_, &request_, this);
    StartRead(&state_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    connection_->OnState(state_);
    StartRead(&state_);
  }
  void OnDone(const grpc::Status& status) override {
    call_.Unbind();
    connection_->WatchClosed(FromGrpc(status));
    delete this;
  }

  OpenCall call_;  // first: destroyed last
  const std::shared_ptr<WorkerConnection> connection_;
  grpc::ClientContext context_;
  const cluster::v1::WatchRequest request_;
  cluster::v1::WorkerState state_;
};

WorkerConnection::WorkerConnection(std::string address, cluster::v1::WorkerRole role,
                                   ConnectionContext context)
    : address_(std::move(address)),
      role_(role),
      context_(std::move(context)),
      channel_(OpenChannel(address_, context_.options)),
      worker_stub_(cluster::v1::Worker::NewStub(channel_)),
      name_(address_),
      watch_backoff_(context_.options),
      attach_backoff_(context_.options) {}

void WorkerConnection::Start() { OpenWatch(); }

void WorkerConnection::Close() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  LoseAttach("stopping");
  calls_->Close();
}

void WorkerConnection::WaitUntilClosed(absl::Duration patience) {
  if (calls_->WaitUntilNone(patience, *context_.clock)) return;
  Log(Severity::kError, "calls_left_open", {{"address", address_}});
}

void WorkerConnection::After(absl::Duration delay, std::function<void(WorkerConnection&)> call) {
  context_.timers->Add(context_.clock->Now() + delay,
                       [weak = weak_from_this(), call = std::move(call)] {
                         if (const auto self = weak.lock()) call(*self);
                       });
}

// ---- Watch.

void WorkerConnection::OpenWatch() {
  WatchReactor* reactor = nullptr;
  uint64_t watch = 0;
  {
    MutexLock lock(mutex_);
    if (stopped_ || watching_) return;
    watching_ = true;
    watch = ++watch_;
    last_heard_ = context_.clock->Now();
    reactor = new WatchReactor(shared_from_this());
  }
  reactor->Begin();
  After(options().silence_max,
        [watch](WorkerConnection& connection) { connection.CheckSilence(watch); });
}

void WorkerConnection::OnState(const cluster::v1::WorkerState& state) {
  const cluster::v1::WorkerIdentity& identity = state.identity();
  bool was_usable = false;
  bool is_new = false;
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    was_usable = IsUsable();
    last_heard_ = context_.clock->Now();
    is_new = incarnation_ != identity.incarnation() || !state_;
    state_ = state;
    name_ = identity.name();
    incarnation_ = identity.incarnation();
    unreachable_ = false;
    watch_backoff_.Reset();
  }
  if (is_new && identity.role() != role_) {
    Log(Severity::kError, "worker_has_wrong_role",
        {{"address", address_},
         {"expected", cluster::v1::WorkerRole_Name(role_)},
         {"found", cluster::v1::WorkerRole_Name(identity.role())}});
  } else if (is_new) {
    Log(Severity::kInfo, "worker_found",
        {{"address", address_},
         {"worker", identity.name()},
         {"build", identity.build()},
         {"weights", identity.weights_fingerprint()},
         {"kv_layout", identity.kv_layout()},
         {"numerics", identity.numerics_fingerprint()},
         {"context_tokens_max", identity.context_tokens_max()}});
  }
  OpenAttachIfDue();
  bool is_usable = false;
  {
    MutexLock lock(mutex_);
    is_usable = IsUsable();
  }
  if (was_usable && !is_usable) {
    Log(Severity::kInfo, "worker_draining", {{"address", address_}, {"worker", identity.name()}});
  }
  if (was_usable != is_usable || is_new) context_.on_change();
}

void WorkerConnection::WatchClosed(const absl::Status& status) {
  bool was_usable = false;
  bool is_news = false;
  absl::Duration wait;
  {
    MutexLock lock(mutex_);
    was_usable = IsUsable();
    watching_ = false;
    state_.reset();
    if (stopped_) return;
    wait = watch_backoff_.Next();
    is_news = !std::exchange(unreachable_, true);
  }
  if (is_news) {
    Log(Severity::kWarning, "worker_unreachable",
        {{"address", address_}, {"status", status.ToString()}});
  }
  if (was_usable) context_.on_change();
  After(wait, [](WorkerConnection& connection) { connection.OpenWatch(); });
}

void WorkerConnection::CheckSilence(uint64_t watch) {
  absl::Duration left;
  {
    MutexLock lock(mutex_);
    if (stopped_ || !watching_ || watch_ != watch) return;
    left = last_heard_ + options().silence_max - context_.clock->Now();
  }
  if (left > absl::ZeroDuration()) {
    After(left, [watch](WorkerConnection& connection) { connection.CheckSilence(watch); });
    return;
  }
  LoseAttach("silent");
  calls_->CancelAll();
}

// ---- Attach.

void WorkerConnection::OpenAttachIfDue() {
  uint64_t session = 0;
  std::unique_ptr<OpenCall> call;
  {
    MutexLock lock(mutex_);
    if (stopped_ || attached_ || !attach_is_due_ || !state_) return;
    if (state_->identity().role() != role_) return;
    attached_ = true;
    session = ++session_;
    call = std::make_unique<OpenCall>(calls_);
  }
  OpenAttach(session, std::move(call));
}

void WorkerConnection::AttachClosed(uint64_t session, const absl::Status& status) {
  bool is_current = false;
  absl::Duration wait;
  {
    MutexLock lock(mutex_);
    is_current = session == session_ && attached_;
    if (is_current) {
      attach_is_due_ = false;
      wait = attach_backoff_.Next();
    }
  }
  if (!is_current) return;
  LoseAttach(status.ok() ? "closed by the worker" : status.message());
  After(wait, [](WorkerConnection& connection) {
    {
      MutexLock lock(connection.mutex_);
      connection.attach_is_due_ = true;
    }
    connection.OpenAttachIfDue();
    connection.context_.on_change();
  });
}

void WorkerConnection::LoseAttach(absl::string_view why) {
  std::map<RequestNumber, Held> lost;
  bool stopped = false;
  {
    MutexLock lock(mutex_);
    if (!attached_) return;
    attached_ = false;
    stopped = stopped_;
    lost.swap(held_);
  }
  if (!stopped) {
    Log(Severity::kWarning, "worker_lost",
        {{"address", address_}, {"why", why}, {"requests", lost.size()}});
    context_.on_change();
  }
  for (const auto& [request, held] : lost) TellLost(*held.events, held.epoch);
}

// ---- Requests.

std::optional<uint64_t> WorkerConnection::Hold(RequestNumber request, Held held) {
  MutexLock lock(mutex_);
  if (!attached_ || stopped_) return std::nullopt;
  held_.emplace(request, std::move(held));
  attach_backoff_.Reset();
  return session_;
}

void WorkerConnection::LetGo(RequestNumber request) {
  std::shared_ptr<WorkerEvents> last;  // destroyed after the lock
  MutexLock lock(mutex_);
  const auto found = held_.find(request);
  if (found == held_.end()) return;
  last = std::move(found->second.events);
  held_.erase(found);
}

std::shared_ptr<WorkerEvents> WorkerConnection::Find(RequestNumber request, uint32_t epoch) const {
  MutexLock lock(mutex_);
  const auto found = held_.find(request);
  const bool is_held = found != held_.end() && found->second.epoch == epoch;
  return is_held ? found->second.events : nullptr;
}

std::shared_ptr<WorkerEvents> WorkerConnection::Take(RequestNumber request, uint32_t epoch) {
  MutexLock lock(mutex_);
  const auto found = held_.find(request);
  if (found == held_.end() || found->second.epoch != epoch) return nullptr;
  std::shared_ptr<WorkerEvents> events = std::move(found->second.events);
  held_.erase(found);
  return events;
}

// ---- What is told about it.

bool WorkerConnection::IsUsable() const {
  return attached_ && state_ && !state_->draining() && state_->identity().role() == role_;
}

WorkerStatus WorkerConnection::Status() const {
  MutexLock lock(mutex_);
  WorkerStatus status{.usable = IsUsable()};
  if (state_) {
    const cluster::v1::WorkerLoad& load = state_->load();
    status.compatibility = Compatibility(state_->identity());
    status.queued_tokens = static_cast<int64_t>(load.queued_tokens());
    status.requests = static_cast<int>(load.requests_waiting() + load.requests_running());
    status.pages_total = load.full_pages().total();
    status.pages_free = load.full_pages().free();
    status.context_tokens_max = static_cast<int>(state_->identity().context_tokens_max());
    status.local_prompts = state_->identity().local_prompts();
  }
  for (const auto& [request, held] : held_) status.assigned_tokens += held.tokens;
  status.assigned_requests = static_cast<int>(held_.size());
  return status;
}

std::string WorkerConnection::WorkerName() const {
  MutexLock lock(mutex_);
  return name_;
}

}  // namespace cleave
