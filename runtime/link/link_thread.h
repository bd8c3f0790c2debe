// The one thread of a worker process that owns its KV links.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/base/mailbox.h"
#include "runtime/link/link_ticker.h"

namespace cleave {

// Runs tasks in the order posted and ticks its links at their deadlines; it sleeps between. gRPC's
// threads and the engine only post to it, so nothing that it owns has a lock. In a worker with the
// NCCL mover it is the only thread that calls NCCL.
//
// The thread's name is "kvlink".
class LinkThread {
 public:
  // `clock` ticks in real time and outlives this.
  explicit LinkThread(const Clock& clock);
  // Joined before.
  ~LinkThread();
  LinkThread(const LinkThread&) = delete;
  LinkThread& operator=(const LinkThread&) = delete;

  // Once. `links` is touched by this thread alone from here on. Ends when links.done().
  void Start(LinkTicker& links);
  // Waits for that end: something must have shut the links down.
  void Join();

  // From any thread, never blocks. False after the end; then the task will not run. Tasks are never
  // dropped before, so whoever posts is bounded by something else: the engine by its pages and
  // sequences, a stream by the messages it may have unread (see GrpcLinkClient).
  bool Post(std::function<void()> task);

 private:
  using Task = std::function<void()>;
  void Run(LinkTicker& links);
  static void RunAll(std::vector<Task>& tasks);

  const Clock& clock_;
  Mailbox<Task> inbox_;
  std::thread thread_;
};

}  // namespace cleave
