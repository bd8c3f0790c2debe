#include "gateway/worker_connection.h"

#include <gtest/gtest.h>

#include "gateway/prefill_connection.h"
#include "tests/gateway/fake_workers.h"
#include "tests/gateway/gateway_fixture.h"

namespace cleave {
namespace {

MediaItem Picture(size_t bytes) {
  return {.kind = MediaKind::kImage,
          .content_hash = "hash",
          .bytes = std::make_shared<const std::string>(bytes, 'x'),
          .field = ""};
}

TEST(WorkerConnectionTest, ClosingEndsEveryCallOfAWorkerThatHangs) {
  FakePrefillWorker worker;
  worker.attachment.Hang();
  worker.HangUploads();
  const RealClock clock;
  TimerQueue timers(clock);
  const auto connection = std::make_shared<PrefillConnection>(
      worker.address(),
      ConnectionContext{.clock = &clock, .timers = &timers, .options = {}, .on_change = [] {}});
  connection->Start();
  ASSERT_TRUE(Eventually([&] { return connection->Status().usable; }));
  const auto answer = std::make_shared<std::optional<absl::Status>>();
  connection->PutMedia(Picture(3 << 20), absl::InfiniteDuration(),
                       [answer](const absl::Status& status) { *answer = status; });
  ASSERT_TRUE(Eventually([&] { return worker.hung_uploads() == 1; }));
  connection->Close();
  connection->WaitUntilClosed(absl::Seconds(20));
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE(absl::IsCancelled(**answer)) << **answer;
  EXPECT_EQ(answer.use_count(), 1) << "nothing of the upload is left";
  EXPECT_EQ(connection.use_count(), 1) << "gRPC has let go, so the channels end on this thread";
}

TEST(WorkerConnectionTest, NothingBeginsAfterClose) {
  FakePrefillWorker worker;
  const RealClock clock;
  TimerQueue timers(clock);
  const auto connection = std::make_shared<PrefillConnection>(
      worker.address(),
      ConnectionContext{.clock = &clock, .timers = &timers, .options = {}, .on_change = [] {}});
  connection->Close();
  connection->Start();
  const auto answer = std::make_shared<std::optional<absl::Status>>();
  connection->PutMedia(Picture(1), absl::InfiniteDuration(),
                       [answer](const absl::Status& status) { *answer = status; });
  connection->WaitUntilClosed(absl::Seconds(20));
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE(absl::IsCancelled(**answer)) << **answer;
  EXPECT_FALSE(connection->Status().usable);
  EXPECT_EQ(connection.use_count(), 1);
}

// A worker that is gone limits nobody.
TEST(WorkerConnectionTest, ItsContextIsForgottenWithIt) {
  const RealClock clock;
  TimerQueue timers(clock);
  auto worker = std::make_unique<FakePrefillWorker>();
  const auto connection = std::make_shared<PrefillConnection>(
      worker->address(),
      ConnectionContext{.clock = &clock, .timers = &timers, .options = {}, .on_change = [] {}});
  EXPECT_EQ(connection->Status().context_tokens_max, 0);
  connection->Start();
  EXPECT_TRUE(Eventually([&] { return connection->Status().context_tokens_max == 256; }));
  worker.reset();
  EXPECT_TRUE(Eventually([&] { return connection->Status().context_tokens_max == 0; }));
  connection->Close();
  connection->WaitUntilClosed(absl::Seconds(20));
}

}  // namespace
}  // namespace cleave
