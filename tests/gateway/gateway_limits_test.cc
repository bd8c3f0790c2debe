// When the gateway refuses, gives up and ends: deadlines, admission, clients that leave or do not
// read, draining.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "cleave/v1/token.grpc.pb.h"
#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "runtime/rpc/status.h"
#include "tests/gateway/gateway_fixture.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

class GatewayLimitsTest : public GatewayFixture {};

TEST_F(GatewayLimitsTest, EndsShortlyBeforeTheClientsDeadline) {
  StartGateway();
  const StreamResult result = Stream(Question("a"), absl::Seconds(2));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status)) << result.status;
  EXPECT_EQ(GetReason(result.status), Reason::kPrefillDeadline);
  EXPECT_TRUE(
      Eventually([this] { return decode_->num_cancels() == 1 && prefill_->num_cancels() == 1; }));
}

TEST_F(GatewayLimitsTest, RequestsWithoutADeadlineGetOne) {
  options_.request_timeout_max = absl::Milliseconds(300);
  StartGateway();
  const StreamResult result = Stream(Question("a"));
  // On a busy machine it may pass before the prefill worker is asked.
  EXPECT_THAT(GetReason(result.status),
              testing::AnyOf(Reason::kPrefillDeadline, Reason::kQueueDeadline))
      << result.status;
}

// For ThreadSanitizer: the timer may be due before the request is wholly set up.
TEST_F(GatewayLimitsTest, DeadlinesThatPassWhileARequestStarts) {
  options_.request_timeout_max = absl::Microseconds(300);
  StartGateway();
  for (int i = 0; i < 200; ++i) {
    const absl::Status status = Stream(Question("a")).status;
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_NE(GetReason(status), Reason::kUnspecified);
  }
}

TEST_F(GatewayLimitsTest, AClientThatLeavesFreesTheWorkers) {
  StartGateway();
  const auto context = Context();
  const auto reader = chat_->StreamGenerate(context.get(), Question("a"));
  v1::GenerateEvent event;
  ASSERT_TRUE(reader->Read(&event));
  ASSERT_TRUE(Eventually([this] { return prefill_->attachment.received().size() == 1; }));
  context->TryCancel();
  reader->Finish();
  EXPECT_TRUE(
      Eventually([this] { return decode_->num_cancels() == 1 && prefill_->num_cancels() == 1; }));
}

TEST_F(GatewayLimitsTest, RefusesMoreThanItTakesOn) {
  options_.admission.requests_max = 1;
  StartGateway();
  StreamResult result;
  std::thread client([&] { result = Stream(Question("a"), absl::Seconds(10)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 1; }));
  const StreamResult refused = Stream(Question("a"));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status)) << refused.status;
  EXPECT_EQ(GetReason(refused.status), Reason::kQueueFull);
  EXPECT_TRUE(GetErrorDetail(refused.status)->retry_after.has_value());
  const uint64_t request = prefill_->attachment.received().at(0).run().request();
  prefill_->SendFirst(request, IdOf("a"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  client.join();
  EXPECT_TRUE(result.status.ok()) << result.status;
}

TEST_F(GatewayLimitsTest, BoundsTheBytesOfAllCalls) {
  options_.admission.request_bytes_max = 100;
  StartGateway();
  const std::string text(200, 'a');
  const auto expect_refused = [](const absl::Status& status) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(GetReason(status), Reason::kQueueFull);
    EXPECT_TRUE(GetErrorDetail(status)->retry_after.has_value());
  };
  expect_refused(Stream(Question(text)).status);
  v1::CountTokensRequest count;
  *count.mutable_request() = Question(text);
  v1::CountTokensResponse counted;
  expect_refused(FromGrpc(chat_->CountTokens(Context().get(), count, &counted)));
  const auto tokens = v1::TokenService::NewStub(channel_);
  v1::TokenizeRequest tokenize;
  tokenize.set_text(text);
  v1::TokenizeResponse tokenized;
  expect_refused(FromGrpc(tokens->Tokenize(Context().get(), tokenize, &tokenized)));
  v1::DetokenizeRequest detokenize;
  for (int i = 0; i < 200; ++i) detokenize.add_ids(1);
  v1::DetokenizeResponse detokenized;
  expect_refused(FromGrpc(tokens->Detokenize(Context().get(), detokenize, &detokenized)));
  // What was let in before is given back.
  tokenize.set_text(text.substr(0, 80));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(tokens->Tokenize(Context().get(), tokenize, &tokenized).ok());
  }
}

TEST_F(GatewayLimitsTest, AClientThatStopsReadingIsCutOffAfterTheEnd) {
  options_.request_timeout_max = absl::Milliseconds(100);
  options_.read_patience = absl::Milliseconds(100);
  StartGateway();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 5);  // so that no event fits unread
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub = v1::ChatService::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("127.0.0.1:", gateway_->port()), grpc::InsecureChannelCredentials(), arguments));
  const auto status_after_pause = [&](absl::Duration pause) {
    const auto context = Context();
    const auto reader = stub->StreamGenerate(context.get(), Question("a"));
    cleave::SleepFor(pause);
    v1::GenerateEvent event;
    while (reader->Read(&event)) {
    }
    return FromGrpc(reader->Finish());
  };
  absl::Status status;
  for (absl::Duration pause = absl::Milliseconds(250);
       !absl::IsCancelled(status) && pause < absl::Seconds(5); pause *= 2) {
    status = status_after_pause(pause);
  }
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST_F(GatewayLimitsTest, DrainLetsOpenRequestsFinish) {
  StartGateway();
  StreamResult result;
  std::thread client([&] { result = Stream(Question("a"), absl::Seconds(10)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 1; }));
  std::thread drain([&] { gateway_->Drain(absl::Seconds(10)); });
  EXPECT_TRUE(Eventually([this] { return !IsServing(); }));
  const StreamResult refused = Stream(Question("a"));
  EXPECT_EQ(GetReason(refused.status), Reason::kDraining) << refused.status;
  const uint64_t request = prefill_->attachment.received().at(0).run().request();
  prefill_->SendFirst(request, IdOf("a"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  client.join();
  drain.join();
  EXPECT_TRUE(result.status.ok()) << result.status;
}

TEST_F(GatewayLimitsTest, DrainEndsWhatTakesTooLong) {
  StartGateway();
  StreamResult result;
  std::thread client([&] { result = Stream(Question("a"), absl::Seconds(10)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 1; }));
  gateway_->Drain(absl::Milliseconds(100));
  client.join();
  EXPECT_EQ(GetReason(result.status), Reason::kDraining) << result.status;
  EXPECT_TRUE(Eventually([this] { return prefill_->num_cancels() == 1; }));
}

TEST_F(GatewayLimitsTest, EndsWhileAWorkerHangs) {
  prefill_->attachment.Hang();
  prefill_->HangUploads();
  StartGateway();
  v1::GenerateRequest request = Question("a");
  request.mutable_messages(0)->add_parts()->mutable_image()->set_data(
      media_test::PngFile(media_test::Gradient(80, 60)) + std::string(1 << 20, 'x'));
  StreamResult result;
  std::thread client([&] { result = Stream(request); });
  ASSERT_TRUE(Eventually([&] { return prefill_->hung_uploads() == 1; }));
  gateway_->Drain(absl::ZeroDuration());
  client.join();
  EXPECT_EQ(GetReason(result.status), Reason::kDraining) << result.status;
  gateway_ = nullptr;
}

}  // namespace
}  // namespace cleave
