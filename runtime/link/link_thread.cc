#include "runtime/link/link_thread.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/thread_name.h"

namespace cleave {
namespace {

constexpr size_t kTasksReserved = 256;                // more are taken too
constexpr absl::Duration kSleepMax = absl::Hours(1);  // deadlines may be centuries away

}  // namespace

LinkThread::LinkThread(const Clock& clock) : clock_(clock), inbox_(kTasksReserved) {}

LinkThread::~LinkThread() { CHECK(!thread_.joinable()); }

void LinkThread::Start(LinkTicker& links) {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this, &links] { Run(links); });
}

void LinkThread::Join() {
  if (thread_.joinable()) thread_.join();
}

bool LinkThread::Post(std::function<void()> task) { return inbox_.PushAlways(std::move(task)); }

void LinkThread::Run(LinkTicker& links) {
  NameThisThread("kvlink");
  std::vector<Task> tasks;
  while (!links.done()) {
    inbox_.TakeAll(tasks, std::min(links.NextDeadline() - clock_.Now(), kSleepMax));
    RunAll(tasks);
    // What came meanwhile counts before the clock does: a thread that had to wait for its turn
    // must not take messages that lie here for silence.
    inbox_.TakeAll(tasks, absl::ZeroDuration());
    RunAll(tasks);
    links.OnTick();
  }
  // What was posted before the end is answered, though by links that are shut down.
  inbox_.Close();
  inbox_.TakeAll(tasks, absl::ZeroDuration());
  RunAll(tasks);
}

void LinkThread::RunAll(std::vector<Task>& tasks) {
  for (Task& task : tasks) {
    task();
    task = nullptr;  // what it holds is freed now, not with the batch
  }
}

}  // namespace cleave
