#include "runtime/rpc/worker_service.h"

#include <string>
#include <utility>

#include "runtime/base/thread_name.h"

namespace cleave {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
constexpr int kLooksBetweenRepeats = 10;

}  // namespace

// One stream. A state that comes while another is being written replaces the one that waits.
class WorkerService::Watcher final : public grpc::ServerWriteReactor<cluster::v1::WorkerState> {
 public:
  explicit Watcher(WorkerService& service) : service_(service) {}

  void Send(const cluster::v1::WorkerState& state) {
    MutexLock lock(mutex_);
    if (finished_) return;
    if (writing_) {
      waiting_ = state;
      has_waiting_ = true;
      return;
    }
    current_ = state;
    writing_ = true;
    StartWrite(&current_);
  }

  void End() {
    MutexLock lock(mutex_);
    if (!std::exchange(finished_, true)) Finish(grpc::Status::OK);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok || finished_ || !has_waiting_) return;
    current_ = waiting_;
    has_waiting_ = false;
    writing_ = true;
    StartWrite(&current_);
  }
  void OnCancel() override { End(); }
  void OnDone() override {
    service_.Remove(this);
    delete this;
  }

 private:
  WorkerService& service_;
  Mutex mutex_;
  cluster::v1::WorkerState current_;  // belongs to gRPC while writing_
  cluster::v1::WorkerState waiting_ ABSL_GUARDED_BY(mutex_);
  bool has_waiting_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

WorkerService::WorkerService(std::function<cluster::v1::WorkerState()> snapshot)
    : snapshot_(std::move(snapshot)), thread_([this] { Run(); }) {}

WorkerService::~WorkerService() {
  CloseStreams();
  thread_.join();
}

void WorkerService::CloseStreams() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
}

grpc::ServerWriteReactor<cluster::v1::WorkerState>* WorkerService::Watch(
    grpc::CallbackServerContext*, const cluster::v1::WatchRequest*) {
  auto* watcher = new Watcher(*this);
  MutexLock lock(mutex_);
  if (stopping_) {
    watcher->End();
  } else {
    watchers_.push_back(watcher);
    newcomer_ = true;
    wake_.NotifyAll();
  }
  return watcher;
}

void WorkerService::Remove(Watcher* watcher) {
  MutexLock lock(mutex_);
  watchers_.remove(watcher);
}

void WorkerService::Run() {
  NameThisThread("watch");
  std::string last;
  int looks = 0;
  while (true) {
    bool must_tell = false;
    {
      MutexLock lock(mutex_);
      if (!stopping_ && !newcomer_) wake_.WaitFor(mutex_, kLookEvery);
      if (stopping_) break;
      must_tell = std::exchange(newcomer_, false);
    }
    const cluster::v1::WorkerState state = snapshot_();  // gRPC's threads never wait for it
    std::string bytes = state.SerializeAsString();
    if (!must_tell && bytes == last && ++looks < kLooksBetweenRepeats) continue;
    last = std::move(bytes);
    looks = 0;
    MutexLock lock(mutex_);
    for (Watcher* watcher : watchers_) watcher->Send(state);
  }
  MutexLock lock(mutex_);
  for (Watcher* watcher : watchers_) watcher->End();
}

}  // namespace cleave
