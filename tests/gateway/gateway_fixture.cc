#include "tests/gateway/gateway_fixture.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "runtime/base/clock.h"
#include "runtime/rpc/status.h"

namespace cleave {

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    cleave::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

std::string StreamResult::text() const {
  std::string text;
  for (const v1::GenerateEvent& event : events) text += event.text().text();
  return text;
}

v1::GenerateRequest Question(const std::string& text) {
  v1::GenerateRequest request;
  request.add_messages()->set_role(v1::ROLE_USER);
  request.mutable_messages(0)->add_parts()->set_text(text);
  return request;
}

GatewayFixture::GatewayFixture() {
  options_.model_dir = folder_.path();
  options_.model_name = "test-model";
  options_.listen_address = "127.0.0.1:0";
  options_.workers.connection.backoff_min = absl::Milliseconds(20);
  options_.workers.connection.backoff_max = absl::Milliseconds(100);
}

void GatewayFixture::StartGateway(bool wait) {
  options_.workers.prefill_addresses = {prefill_->address()};
  options_.workers.decode_addresses.clear();
  for (const FakeDecodeWorker* worker : decodes_) {
    options_.workers.decode_addresses.push_back(worker->address());
  }
  absl::StatusOr<std::unique_ptr<Gateway>> gateway = Gateway::Start(options_);
  ASSERT_TRUE(gateway.ok()) << gateway.status();
  gateway_ = *std::move(gateway);
  channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", gateway_->port()),
                                 grpc::InsecureChannelCredentials());
  chat_ = v1::ChatService::NewStub(channel_);
  ASSERT_TRUE(!wait || Eventually([this] { return IsServing(); }));
}

std::unique_ptr<grpc::ClientContext> GatewayFixture::Context(absl::Duration timeout) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout));
  return context;
}

bool GatewayFixture::IsServing() {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("cleave.v1.ChatService");
  grpc::health::v1::HealthCheckResponse response;
  const auto stub = grpc::health::v1::Health::NewStub(channel_);
  const grpc::Status status = stub->Check(Context().get(), request, &response);
  return status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

StreamResult GatewayFixture::Stream(const v1::GenerateRequest& request, absl::Duration timeout,
                                    const std::string& id) {
  const RealClock clock;
  const absl::Time begin = clock.Now();
  const auto context = Context(timeout);
  if (!id.empty()) context->AddMetadata("x-request-id", id);
  const auto reader = chat_->StreamGenerate(context.get(), request);
  StreamResult result;
  v1::GenerateEvent event;
  while (reader->Read(&event)) result.events.push_back(event);
  result.status = FromGrpc(reader->Finish());
  const auto echoed = context->GetServerTrailingMetadata().find("x-request-id");
  if (echoed != context->GetServerTrailingMetadata().end()) {
    result.request_id.assign(echoed->second.data(), echoed->second.size());
  }
  result.took = clock.Now() - begin;
  return result;
}

void GatewayFixture::AnswerWith(const std::vector<int32_t>& ids, cluster::v1::FinishCause finish) {
  AnswerEachWith({ids}, finish);
}

void GatewayFixture::AnswerEachWith(const std::vector<std::vector<int32_t>>& answers,
                                    cluster::v1::FinishCause finish) {
  prefill_->attachment.SetScript(
      [this, answers, finish](const cluster::v1::GatewayToPrefill& message) {
        if (!message.has_run()) return;
        const uint64_t request = message.run().request();
        const bool wanted = message.run().sequence().has_log_probabilities();
        size_t longest = 0;
        for (const std::vector<int32_t>& ids : answers) longest = std::max(longest, ids.size());
        for (uint32_t i = 0; i < longest; ++i) {
          for (uint32_t candidate = 0; candidate < answers.size(); ++candidate) {
            const std::vector<int32_t>& ids = answers[candidate];
            if (i >= ids.size()) continue;
            const auto end = i + 1 == ids.size() ? finish : cluster::v1::FINISH_CAUSE_UNSPECIFIED;
            if (i == 0) {
              prefill_->SendFirst(request, ids[i], end, wanted, candidate);
            } else {
              decode_->SendTokens(request, i, {ids[i]}, end, wanted, candidate);
            }
          }
        }
        prefill_->SendEnded(request, absl::OkStatus());
      });
}

std::vector<int32_t> GatewayFixture::Ids(absl::string_view text) const {
  return *tokenizer_->Encode(text, /*match_special=*/true);
}

}  // namespace cleave
