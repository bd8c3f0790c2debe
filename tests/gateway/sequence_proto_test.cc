#include "gateway/sequence_proto.h"

#include <gtest/gtest.h>

namespace cleave {
namespace {

uint32_t MillisecondsOf(absl::Duration time_left) {
  return ToProto(SequenceOrder{}, time_left).time_left_milliseconds();
}

TEST(SequenceProtoTest, AWorkersDeadlineIsNotBeforeTheGateways) {
  EXPECT_EQ(MillisecondsOf(absl::Milliseconds(1500)), 1500u);
  EXPECT_EQ(MillisecondsOf(absl::Microseconds(1500)), 2u);
  EXPECT_EQ(MillisecondsOf(absl::ZeroDuration()), 1u);
  EXPECT_EQ(MillisecondsOf(absl::InfiniteDuration()), 2'147'483'647u);
}

TEST(SequenceProtoTest, SeveralCandidatesAreSaid) {
  EXPECT_EQ(ToProto({.candidates = 3}, absl::Seconds(1)).candidates(), 3u);
  EXPECT_EQ(ToProto({.candidates = 1}, absl::Seconds(1)).candidates(), 0u) << "as it always was";
}

TEST(SequenceProtoTest, AgeIsSaid) {
  EXPECT_EQ(ToProto({.age = absl::Milliseconds(1500)}, absl::Seconds(1)).age_milliseconds(), 1500u);
}

TEST(SequenceProtoTest, PriorityIsSaid) {
  const auto said = [](Priority p) {
    return ToProto({.priority = p}, absl::Seconds(1)).priority();
  };
  EXPECT_EQ(said(Priority::kLow), cluster::v1::PRIORITY_LOW);
  EXPECT_EQ(said(Priority::kNormal), cluster::v1::PRIORITY_NORMAL);
  EXPECT_EQ(said(Priority::kHigh), cluster::v1::PRIORITY_HIGH);
}

TEST(SequenceProtoTest, UnknownCausesEndNothing) {
  EXPECT_EQ(FromProto(cluster::v1::FINISH_CAUSE_MAX_TOKENS), EndCause::kMaxTokens);
  EXPECT_EQ(FromProto(static_cast<cluster::v1::FinishCause>(99)), EndCause::kNone);
}

}  // namespace
}  // namespace cleave
