#include "kernels/cpu/thread_pool.h"

#include <immintrin.h>
#include <sched.h>

#include "runtime/base/check.h"
#include "runtime/base/thread_name.h"

namespace cleave::cpu {
namespace {

constexpr int kSpins = 1500;
constexpr uint32_t kClosed = 0xffffffffu;  // no item of the job can be taken yet

constexpr uint64_t Ticket(uint32_t job, uint32_t item) { return uint64_t{job} << 32 | item; }

// Until the value is another one than `old`: a short look, then sleep.
void WaitForChange(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    _mm_pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

int AvailableProcessors() {
  cpu_set_t sets[8];  // room for any machine that Linux runs on
  CPU_ZERO_S(sizeof(sets), sets);
  CHECK(sched_getaffinity(0, sizeof(sets), sets) == 0);
  return CPU_COUNT_S(sizeof(sets), sets);
}

ThreadPool::ThreadPool(int threads) {
  CHECK(threads >= 1);
  for (int thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread] { WorkerLoop(thread); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(int64_t count, Work work) {
  CHECK(count >= 0 && count < kClosed);
  if (count <= 1 || workers_.empty()) {
    for (int64_t item = 0; item < count; ++item) work(item, 0);
    return;
  }
  // Closed first: whoever still looks at the last job's number finds it gone before he can see any
  // of the new job's fields.
  const uint32_t job = job_.load(std::memory_order_relaxed) + 1;
  next_.store(Ticket(job, kClosed), std::memory_order_release);
  work_.store(&work, std::memory_order_release);
  count_.store(static_cast<uint32_t>(count), std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  next_.store(Ticket(job, 0), std::memory_order_release);
  job_.store(job, std::memory_order_release);
  job_.notify_all();

  TakeItems(job, 0);
  for (uint32_t done = done_.load(std::memory_order_acquire); done != count;
       done = done_.load(std::memory_order_acquire)) {
    WaitForChange(done_, done);
  }
}

void ThreadPool::TakeItems(uint32_t job, int thread) {
  const uint32_t count = count_.load(std::memory_order_acquire);
  const Work* work = work_.load(std::memory_order_acquire);
  uint64_t ticket = next_.load(std::memory_order_acquire);
  while (ticket >> 32 == job && static_cast<uint32_t>(ticket) < count) {
    // Once an item is taken the job cannot end before it is done.
    if (!next_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
    (*work)(static_cast<uint32_t>(ticket), thread);
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) done_.notify_one();
    ticket = next_.load(std::memory_order_acquire);
  }
}

void ThreadPool::WorkerLoop(int thread) {
  NameThisThread("kernels");
  uint32_t job = 0;
  while (true) {
    WaitForChange(job_, job);
    job = job_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    TakeItems(job, thread);
  }
}

}  // namespace cleave::cpu
