#include "gateway/admission.h"

#include <gtest/gtest.h>

#include <thread>

#include "runtime/base/error.h"

namespace cleave {
namespace {

constexpr AdmissionLimits kLimits{
    .requests_max = 2, .queued_tokens_max = 100, .request_bytes_max = 50};

TEST(AdmissionTest, BoundsOpenRequests) {
  Admission admission(kLimits);
  absl::StatusOr<AdmissionSlot> first = admission.Enter(0);
  absl::StatusOr<AdmissionSlot> second = admission.Enter(0);
  ASSERT_TRUE(first.ok() && second.ok());
  const absl::Status third = admission.Enter(0).status();
  EXPECT_TRUE(absl::IsResourceExhausted(third));
  EXPECT_EQ(GetReason(third), Reason::kQueueFull);
  EXPECT_TRUE(GetErrorDetail(third)->retry_after.has_value());
  first->Release();
  first->Release();
  EXPECT_EQ(admission.requests(), 1);
  EXPECT_TRUE(admission.Enter(0).ok());
}

TEST(AdmissionTest, BoundsQueuedTokens) {
  Admission admission(kLimits);
  AdmissionSlot first = *admission.Enter(0);
  AdmissionSlot second = *admission.Enter(0);
  EXPECT_TRUE(first.Queue(90, 0).ok());
  EXPECT_EQ(GetReason(second.Queue(11, 0)), Reason::kQueueFull);
  first.LeaveQueue();
  EXPECT_EQ(admission.queued_tokens(), 0);
  EXPECT_TRUE(second.Queue(500, 0).ok()) << "alone, it may be longer than the limit";
  second = AdmissionSlot();
  EXPECT_EQ(admission.queued_tokens(), 0);
  EXPECT_EQ(admission.requests(), 1);
}

TEST(AdmissionTest, BoundsTheBytesHeld) {
  Admission admission(kLimits);
  AdmissionSlot first = *admission.Enter(30);
  EXPECT_EQ(GetReason(admission.Enter(21).status()), Reason::kQueueFull);
  EXPECT_TRUE(admission.Enter(20).ok()) << "and given back at once";
  EXPECT_TRUE(first.Queue(1, 10).ok()) << "the message is parsed, its media are left";
  EXPECT_EQ(GetReason(admission.Enter(41).status()), Reason::kQueueFull);
  EXPECT_TRUE(admission.Enter(40).ok());
  first.Release();
  EXPECT_TRUE(admission.Enter(50).ok());
  EXPECT_EQ(admission.requests(), 0);
}

TEST(AdmissionTest, DrainsUntilIdle) {
  const RealClock clock;
  Admission admission(kLimits);
  AdmissionSlot slot = *admission.Enter(0);
  admission.Close();
  EXPECT_EQ(GetReason(admission.Enter(0).status()), Reason::kDraining);
  EXPECT_FALSE(admission.WaitUntilIdle(absl::Milliseconds(10), clock));
  std::thread other([&] { slot.Release(); });
  EXPECT_TRUE(admission.WaitUntilIdle(absl::Seconds(10), clock));
  other.join();
}

}  // namespace
}  // namespace cleave
