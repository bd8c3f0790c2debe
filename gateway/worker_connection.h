// What the connections to prefill and decode workers have in common: watching a worker's state,
// opening its Attach stream when it is there, opening both again when they break.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cleave/cluster/v1/worker.grpc.pb.h"
#include "gateway/open_calls.h"
#include "gateway/router.h"
#include "gateway/timer_queue.h"
#include "gateway/worker.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace cleave {

struct ConnectionOptions {
  // A worker tells its state at least every second. One that is silent this long is taken for dead,
  // although its sockets may still be open.
  absl::Duration silence_max = absl::Seconds(5);
  // Between two tries to connect: doubles from the least to the most, each with a random part.
  absl::Duration backoff_min = absl::Milliseconds(100);
  absl::Duration backoff_max = absl::Seconds(2);
};

// What connections need from outside. All outlive them.
struct ConnectionContext {
  const Clock* clock;
  TimerQueue* timers;
  ConnectionOptions options;
  std::function<void()> on_change;  // the worker became usable, or is so no longer; any thread
};

// How long to wait before the next try.
class Backoff {
 public:
  explicit Backoff(const ConnectionOptions& options);
  absl::Duration Next();
  void Reset() { next_ = min_; }

 private:
  const absl::Duration min_, max_;
  absl::Duration next_;
  const uint64_t seed_;
  uint32_t tries_ = 0;
};

// A channel with its own TCP connection and with keepalive.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address,
                                           const ConnectionOptions& options);

// What must be equal for a prefill and a decode worker to serve together: all that the KV link
// compares when it opens.
std::string Compatibility(const cluster::v1::WorkerIdentity& identity);

// One worker. Two streams, each opened anew by itself: Watch, and Attach, which is opened once a
// state was heard. When Attach ends, every request on it is told. Thread-safe. Streams share the
// connection (gRPC calls their reactors until they are done).
class WorkerConnection : public std::enable_shared_from_this<WorkerConnection> {
 public:
  WorkerConnection(std::string address, cluster::v1::WorkerRole role, ConnectionContext context);
  virtual ~WorkerConnection() = default;
  WorkerConnection(const WorkerConnection&) = delete;
  WorkerConnection& operator=(const WorkerConnection&) = delete;

  void Start();
  // Tells every request that the worker is lost and cancels all calls. Nothing begins any more.
  void Close();
  // After Close: waits, at most `patience`, until gRPC has let go of the calls, and so of this.
  void WaitUntilClosed(absl::Duration patience);

  WorkerStatus Status() const;
  const std::string& address() const { return address_; }
  // The name the worker gave itself; its address before it did.
  std::string WorkerName() const;

 protected:
  struct Held {
    std::shared_ptr<WorkerEvents> events;  // shared with the request itself
    int64_t tokens = 0;
    uint32_t epoch = 0;
  };

  // Opens the Attach stream, to which `call` belongs; its end must be told by AttachClosed. Called
  // without the lock.
  virtual void OpenAttach(uint64_t session, std::unique_ptr<OpenCall> call) = 0;
  virtual void TellLost(WorkerEvents& events, uint32_t epoch) = 0;

  void AttachClosed(uint64_t session, const absl::Status& status);

  // The session in which it is held; absent, and nothing is held, when not attached.
  std::optional<uint64_t> Hold(RequestNumber request, Held held);
  void LetGo(RequestNumber request);
  // Null when it is not held in this epoch.
  std::shared_ptr<WorkerEvents> Find(RequestNumber request, uint32_t epoch) const;
  // The same, and it is held no more.
  std::shared_ptr<WorkerEvents> Take(RequestNumber request, uint32_t epoch);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const std::shared_ptr<OpenCalls>& calls() const { return calls_; }
  const ConnectionOptions& options() const { return context_.options; }

 private:
  class WatchReactor;

  void OpenWatch();
  void OnState(const cluster::v1::WorkerState& state);
  void WatchClosed(const absl::Status& status);
  void CheckSilence(uint64_t watch);
  void OpenAttachIfDue();
  void LoseAttach(absl::string_view why);
  bool IsUsable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void After(absl::Duration delay, std::function<void(WorkerConnection&)> call);

  const std::string address_;
  const cluster::v1::WorkerRole role_;
  const ConnectionContext context_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<cluster::v1::Worker::Stub> worker_stub_;
  const std::shared_ptr<OpenCalls> calls_ = std::make_shared<OpenCalls>();  // shared with each

  mutable Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool watching_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t watch_ ABSL_GUARDED_BY(mutex_) = 0;  // number of the last Watch stream
  std::optional<cluster::v1::WorkerState> state_ ABSL_GUARDED_BY(mutex_);  // while watched
  std::string name_ ABSL_GUARDED_BY(mutex_);
  uint64_t incarnation_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_heard_ ABSL_GUARDED_BY(mutex_);
  bool unreachable_ ABSL_GUARDED_BY(mutex_) = false;  // and logged as such
  bool attached_ ABSL_GUARDED_BY(mutex_) = false;
  bool attach_is_due_ ABSL_GUARDED_BY(mutex_) = true;  // false while waiting to try again
  uint64_t session_ ABSL_GUARDED_BY(mutex_) = 0;
  Backoff watch_backoff_ ABSL_GUARDED_BY(mutex_);
  Backoff attach_backoff_ ABSL_GUARDED_BY(mutex_);
  std::map<RequestNumber, Held> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cleave
