// Several answers to one prompt as a client sees them, with workers that answer what the test
// wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "tests/gateway/gateway_fixture.h"
#include "tests/support/http_get.h"

namespace cleave {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr auto kMaxTokens = cluster::v1::FINISH_CAUSE_MAX_TOKENS;
constexpr auto kStopId = cluster::v1::FINISH_CAUSE_STOP_ID;

class GatewayCandidatesTest : public GatewayFixture {
 protected:
  GatewayCandidatesTest() {
    request_.set_candidates(2);
    request_.set_max_output_tokens(50);
  }

  // Streams the answers, and folds their events by candidate.
  void Ask() {
    result_ = Stream(request_);
    ASSERT_TRUE(result_.status.ok()) << result_.status;
    for (const v1::GenerateEvent& event : result_.events) {
      if (event.has_started() || event.has_summary()) {
        EXPECT_FALSE(event.has_candidate());
        continue;
      }
      const uint32_t candidate = event.candidate();
      EXPECT_EQ(finished_.count(candidate), 0u) << "nothing comes after Finished";
      texts_[candidate] += event.text().text();
      if (event.has_tool_call()) call_ids_.push_back(event.tool_call().id());
      if (event.has_finished()) finished_[candidate] = event.finished();
    }
  }

  v1::GenerateRequest request_ = Question("abc");
  StreamResult result_;
  std::map<uint32_t, std::string> texts_;
  std::map<uint32_t, v1::Finished> finished_;
  std::vector<std::string> call_ids_;
};

TEST_F(GatewayCandidatesTest, StreamsBoth) {
  StartGateway();
  const std::vector<int32_t> first = Ids("hello the user"), second = Ids("abc");
  AnswerEachWith({first, second}, kMaxTokens);
  Ask();
  EXPECT_EQ(texts_[0], "hello the user");
  EXPECT_EQ(texts_[1], "abc");
  for (const uint32_t candidate : {0u, 1u}) {
    EXPECT_EQ(finished_[candidate].reason(), v1::FINISH_REASON_MAX_TOKENS);
  }
  ASSERT_TRUE(result_.events.back().has_summary());
  const v1::Summary& summary = result_.events.back().summary();
  EXPECT_EQ(summary.usage().output_tokens(), first.size() + second.size());
  EXPECT_EQ(decode_->attachment.received().at(0).expect().sequence().candidates(), 2u);
  EXPECT_EQ(prefill_->attachment.received().at(0).run().sequence().candidates(), 2u);
  EXPECT_EQ(decode_->num_cancels() + prefill_->num_cancels(), 0);
}

TEST_F(GatewayCandidatesTest, AnswersAtOnceInOrder) {
  StartGateway();
  std::vector<int32_t> second = Ids("hello");
  second.push_back(IdOf("<turn|>"));
  AnswerEachWith({{IdOf("<turn|>")}, second}, kStopId);
  request_.set_log_probabilities(0);
  v1::GenerateResponse response;
  const grpc::Status status = chat_->Generate(Context().get(), request_, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.candidates_size(), 2);
  EXPECT_EQ(response.candidates(0).text(), "");
  EXPECT_EQ(response.candidates(0).reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(response.candidates(0).log_probabilities_size(), 1);
  EXPECT_EQ(response.candidates(1).text(), "hello");
  EXPECT_EQ(response.candidates(1).reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(response.candidates(1).log_probabilities_size(), static_cast<int>(second.size()));
  EXPECT_EQ(response.usage().output_tokens(), second.size() + 1);
}

TEST_F(GatewayCandidatesTest, AStopStringEndsOneAlone) {
  StartGateway();
  AnswerEachWith({Ids("abc the user"), Ids("hello hello hello")}, kMaxTokens);
  request_.add_stop(" the");
  Ask();
  EXPECT_EQ(texts_[0], "abc");
  EXPECT_EQ(finished_[0].reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(finished_[0].stop_string(), " the");
  EXPECT_EQ(texts_[1], "hello hello hello");
  EXPECT_EQ(finished_[1].reason(), v1::FINISH_REASON_MAX_TOKENS);
}

TEST_F(GatewayCandidatesTest, CallsHaveIdsOfTheirOwn) {
  StartGateway();
  const std::vector<int32_t> call = Ids("<|tool_call>call:abc{}<tool_call|><turn|>");
  AnswerEachWith({call, call}, kStopId);
  Ask();
  for (const uint32_t candidate : {0u, 1u}) {
    EXPECT_EQ(finished_[candidate].reason(), v1::FINISH_REASON_TOOL_CALLS);
  }
  const std::string name = result_.events[0].started().response_id().substr(5);
  EXPECT_THAT(call_ids_, UnorderedElementsAre(absl::StrCat("call-", name, "-0"),
                                              absl::StrCat("call-", name, "-c1-0")));
}

TEST_F(GatewayCandidatesTest, SeveralAreNeverServedLocally) {
  options_.local_prompt_tokens_max = 1000;
  decode_->identity.Change(
      [](cluster::v1::WorkerState& state) { state.mutable_identity()->set_local_prompts(true); });
  StartGateway();
  AnswerEachWith({Ids("hello"), Ids("abc")}, kMaxTokens);
  Ask();
  EXPECT_EQ(result_.events.back().summary().route(), v1::ROUTE_DISAGGREGATED);
  EXPECT_FALSE(decode_->attachment.received().at(0).expect().local());
}

TEST_F(GatewayCandidatesTest, CountsEach) {
  options_.metrics_address = "127.0.0.1:0";
  StartGateway();
  const std::vector<int32_t> first = Ids("hello the"), second = Ids("abc the user");
  AnswerEachWith({first, second}, kMaxTokens);
  request_.add_stop(" user");
  Ask();
  const std::string metrics = testing::HttpGet(gateway_->metrics_port(), "/metrics");
  const size_t tokens = first.size() + second.size();
  for (const std::string& line : {
           std::string("cleave_gateway_requests_total{outcome=\"ok\",reason=\"\"} 1"),
           std::string("cleave_request_ttft_seconds_count 1"),
           std::string("cleave_request_finished_total{reason=\"max_tokens\"} 1"),
           std::string("cleave_request_finished_total{reason=\"stop_string\"} 1"),
           absl::StrCat("cleave_request_output_tokens_sum ", tokens),
           absl::StrCat("cleave_tokens_total{kind=\"output\",role=\"gateway\"} ", tokens),
       }) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

}  // namespace
}  // namespace cleave
