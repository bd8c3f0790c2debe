// A gateway between a client's stubs and fake workers.
#pragma once

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cleave/v1/chat.grpc.pb.h"
#include "gateway/gateway.h"
#include "tests/gateway/fake_workers.h"
#include "tests/gateway/test_model.h"

namespace cleave {

// True once `condition` holds; false when it did not within ten seconds.
bool Eventually(const std::function<bool()>& condition);

// A stream read to its end.
struct StreamResult {
  std::vector<v1::GenerateEvent> events;
  absl::Status status;
  std::string request_id;  // of the trailers
  absl::Duration took;

  std::string text() const;
};

class GatewayFixture : public testing::Test {
 protected:
  GatewayFixture();

  // Connects to `prefill` and `decodes`; waits until it is ready unless told not to.
  void StartGateway(bool wait = true);
  bool IsServing();
  std::unique_ptr<grpc::ClientContext> Context(absl::Duration timeout = absl::Seconds(20));
  StreamResult Stream(const v1::GenerateRequest& request,
                      absl::Duration timeout = absl::Seconds(20), const std::string& id = "");

  // The prefill worker sends the first of `ids`, the decode worker the others one by one; the last
  // ends the answer with `finish`.
  void AnswerWith(const std::vector<int32_t>& ids, cluster::v1::FinishCause finish);
  // The same with an answer for each candidate; their steps alternate.
  void AnswerEachWith(const std::vector<std::vector<int32_t>>& answers,
                      cluster::v1::FinishCause finish);
  std::vector<int32_t> Ids(absl::string_view text) const;

  const SmallTokenizer small_;
  const std::unique_ptr<const Tokenizer> tokenizer_ = *Tokenizer::Create(small_.Json());
  TestModelFolder folder_;
  GatewayOptions options_;
  std::unique_ptr<FakePrefillWorker> prefill_ = std::make_unique<FakePrefillWorker>();
  std::unique_ptr<FakeDecodeWorker> decode_ = std::make_unique<FakeDecodeWorker>();
  std::vector<FakeDecodeWorker*> decodes_{decode_.get()};  // those the gateway knows
  std::unique_ptr<Gateway> gateway_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ChatService::Stub> chat_;
};

// One user message.
v1::GenerateRequest Question(const std::string& text);

}  // namespace cleave
