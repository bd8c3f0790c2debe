#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace cleave::cpu {
namespace {

TEST(ThreadPool, EveryItemOnceInEveryOneOfManyJobs) {
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    // Sizes that alternate, so that a worker that is late meets the next job's count.
    for (int job = 0; job < 3000; ++job) {
      const int count = job % 7 * (job % 3 == 0 ? 50 : 1);
      std::vector<int> calls(static_cast<size_t>(count));
      pool.Run(count, [&](int64_t item, int thread) {
        ASSERT_LT(thread, threads);
        ++calls[static_cast<size_t>(item)];
      });
      ASSERT_EQ(std::accumulate(calls.begin(), calls.end(), 0), count) << job;
      ASSERT_EQ(std::count(calls.begin(), calls.end(), 1), count) << job;
    }
  }
}

TEST(ThreadPool, WakesASleeper) {
  ThreadPool pool(2);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // long enough to fall asleep
    std::atomic<int> sum = 0;
    pool.Run(100, [&](int64_t item, int) { sum += static_cast<int>(item); });
    EXPECT_EQ(sum, 4950);
  }
}

TEST(ThreadPool, EndsWithoutAJob) { ThreadPool pool(3); }

}  // namespace
}  // namespace cleave::cpu
