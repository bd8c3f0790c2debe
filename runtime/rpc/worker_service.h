// Worker.Watch: tells whoever listens what this worker is and how busy it is.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <thread>

#include "absl/time/time.h"
#include "cleave/cluster/v1/worker.grpc.pb.h"
#include "runtime/base/mutex.h"

namespace cleave {

// Owns one thread, "watch", which looks at the state every 100 ms and sends it to every watcher
// when it has changed, when another watcher has come, and once a second anyway.
class WorkerService final : public cluster::v1::Worker::CallbackService {
 public:
  // `snapshot` is called on the watch thread.
  explicit WorkerService(std::function<cluster::v1::WorkerState()> snapshot);
  // The server must have shut down.
  ~WorkerService() override;
  // Ends all streams; a server does not wait for them then.
  void CloseStreams();

  grpc::ServerWriteReactor<cluster::v1::WorkerState>* Watch(
      grpc::CallbackServerContext* context, const cluster::v1::WatchRequest* request) override;

 private:
  class Watcher;
  void Run();
  void Remove(Watcher* watcher);

  const std::function<cluster::v1::WorkerState()> snapshot_;
  Mutex mutex_;
  CondVar wake_;
  std::list<Watcher*> watchers_ ABSL_GUARDED_BY(mutex_);  // gRPC owns them
  bool newcomer_ ABSL_GUARDED_BY(mutex_) = false;         // has not been told anything
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cleave
