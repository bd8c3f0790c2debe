#include "runtime/rpc/status.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

TEST(StatusTest, EveryReasonSurvivesTheWire) {
  for (size_t i = 0; i < kReasonCount; ++i) {
    const ErrorDetail detail{.reason = static_cast<Reason>(i),
                             .field = "messages[0].parts[1].text",
                             .limit = "at most 3",
                             .actual = "4",
                             .retry_after = absl::Milliseconds(1250)};
    const absl::Status sent = MakeError(absl::StatusCode::kInvalidArgument, "too many", detail);
    for (const absl::Status& received : {FromProto(ToProto(sent)), FromGrpc(ToGrpc(sent))}) {
      EXPECT_EQ(received.code(), sent.code());
      EXPECT_EQ(received.message(), sent.message());
      EXPECT_EQ(GetErrorDetail(received), detail) << ReasonName(detail.reason);
    }
  }
}

TEST(StatusTest, AClientSeesStandardDetails) {
  const google::rpc::Status proto =
      ToProto(InvalidField(Reason::kFieldInvalid, "sampling.top_p", "above 0", "0"));
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  ASSERT_EQ(proto.details_size(), 2);
  ASSERT_TRUE(proto.details(0).UnpackTo(&info));
  ASSERT_TRUE(proto.details(1).UnpackTo(&bad_request));
  EXPECT_EQ(info.reason(), "FIELD_INVALID");
  EXPECT_EQ(info.domain(), "cleave");
  EXPECT_EQ(info.metadata().at("limit"), "above 0");
  EXPECT_EQ(bad_request.field_violations(0).field(), "sampling.top_p");
}

TEST(StatusTest, PlainAndForeignStatusesKeepCodeAndText) {
  EXPECT_TRUE(FromGrpc(ToGrpc(absl::OkStatus())).ok());
  EXPECT_EQ(FromGrpc(ToGrpc(absl::NotFoundError("x"))), absl::NotFoundError("x"));
  const grpc::Status foreign(grpc::StatusCode::UNAVAILABLE, "gone", "not a message");
  EXPECT_EQ(FromGrpc(foreign), absl::UnavailableError("gone"));
}

}  // namespace
}  // namespace cleave
