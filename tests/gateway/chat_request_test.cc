#include "gateway/chat_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/base/error.h"
#include "tests/gateway/refusal.h"
#include "tests/gateway/test_model.h"

namespace cleave {
namespace {

v1::GenerateRequest Question(const std::string& text) {
  v1::GenerateRequest request;
  v1::Message& message = *request.add_messages();
  message.set_role(v1::ROLE_USER);
  message.add_parts()->set_text(text);
  return request;
}

class ChatRequestTest : public testing::Test {
 protected:
  absl::StatusOr<ChatRequest> Read(v1::GenerateRequest request) {
    return ReadChatRequest(request, model_);
  }
  // The refusal's field; the rest of it is checked here.
  std::string RefusedField(const v1::GenerateRequest& request,
                           Reason reason = Reason::kFieldInvalid) {
    return CheckRefusal(Read(request).status(), reason);
  }

  ServedModel model_ = LoadTestModel();
};

TEST_F(ChatRequestTest, DefaultsAreTheModels) {
  const absl::StatusOr<ChatRequest> request = Read(Question("a"));
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->sampling.temperature, 1.0f);
  EXPECT_EQ(request->sampling.top_k, 64u);
  EXPECT_EQ(request->sampling.top_p, 0.95f);
  EXPECT_EQ(request->sampling.min_p, 0.0f);
  EXPECT_FALSE(request->thinking);
  EXPECT_FALSE(request->output_tokens_max.has_value());
  EXPECT_FALSE(request->conversation.messages[0].is_list);
  EXPECT_NE(request->sampling.seed, Read(Question("a"))->sampling.seed) << "drawn for each";
}

TEST_F(ChatRequestTest, ZeroIsNotAbsent) {
  v1::GenerateRequest request = Question("a");
  request.mutable_sampling()->set_temperature(0);
  request.mutable_sampling()->set_top_k(0);
  request.mutable_sampling()->set_seed(0);
  const absl::StatusOr<ChatRequest> read = Read(request);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->sampling.temperature, 0.0f);
  EXPECT_EQ(read->sampling.top_k, 0u);
  EXPECT_EQ(read->sampling.seed, 0u);
}

TEST_F(ChatRequestTest, MediaKeepTheirPlaceAndBudget) {
  v1::GenerateRequest request;
  v1::Message& message = *request.add_messages();
  message.set_role(v1::ROLE_USER);
  message.add_parts()->mutable_image()->set_data("picture");
  message.add_parts()->mutable_audio()->set_data("sound");
  v1::Image& second = *message.add_parts()->mutable_image();
  second.set_data("other");
  second.set_token_budget(1120);
  request.set_image_token_budget(140);
  const absl::StatusOr<ChatRequest> read = Read(request);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->media.size(), 3u);
  EXPECT_EQ(read->media[0].field, "messages[0].parts[0].image.data");
  EXPECT_EQ(read->media[0].image_token_budget, 140);
  EXPECT_EQ(read->media[1].field, "messages[0].parts[1].audio.data");
  EXPECT_EQ(*read->media[1].bytes, "sound");
  EXPECT_EQ(read->media[2].image_token_budget, 1120);
  EXPECT_TRUE(read->conversation.messages[0].is_list);
}

TEST_F(ChatRequestTest, RefusesMessages) {
  EXPECT_EQ(RefusedField({}), "messages");
  v1::GenerateRequest request = Question("a");
  request.mutable_messages(0)->set_role(v1::ROLE_UNSPECIFIED);
  EXPECT_EQ(RefusedField(request), "messages[0].role");
  request = Question("a");
  request.mutable_messages(0)->clear_parts();
  EXPECT_EQ(RefusedField(request), "messages[0].parts");
  request = Question("a");
  request.mutable_messages(0)->add_parts();
  EXPECT_EQ(RefusedField(request), "messages[0].parts[1]");
  request = Question("a");
  *request.add_messages() = request.messages(0);
  request.mutable_messages(1)->set_role(v1::ROLE_SYSTEM);
  EXPECT_EQ(RefusedField(request), "messages[1].role");
  request = Question("a");
  request.mutable_messages(0)->set_role(v1::ROLE_SYSTEM);
  request.mutable_messages(0)->add_parts()->mutable_image()->set_data("x");
  EXPECT_EQ(RefusedField(request), "messages[0].parts[1]");
  request = Question("a");
  request.mutable_messages(0)->add_parts()->mutable_image();
  EXPECT_EQ(RefusedField(request), "messages[0].parts[1].image.data");
}

TEST_F(ChatRequestTest, RefusesTextThatIsNotUtf8) {
  EXPECT_EQ(RefusedField(Question("ab\xFF"), Reason::kTextNotUtf8), "messages[0].parts[0].text");
}

TEST_F(ChatRequestTest, RefusesTooMuch) {
  model_.limits.text_bytes_max = 10;
  EXPECT_EQ(RefusedField(Question("01234567890")), "messages[0].parts[0].text");
  model_.limits.images_max = 1;
  v1::GenerateRequest request = Question("a");
  request.mutable_messages(0)->add_parts()->mutable_image()->set_data("x");
  request.mutable_messages(0)->add_parts()->mutable_image()->set_data("x");
  EXPECT_EQ(RefusedField(request, Reason::kMediaLimit), "messages[0].parts[2].image.data");
  model_.limits.audios_max = 1;
  request = Question("a");
  request.mutable_messages(0)->add_parts()->mutable_audio()->set_data("x");
  EXPECT_TRUE(Read(request).ok());
  request.mutable_messages(0)->add_parts()->mutable_audio()->set_data("x");
  EXPECT_EQ(RefusedField(request, Reason::kMediaLimit), "messages[0].parts[2].audio.data");
  model_.limits.messages_max = 1;
  request = Question("a");
  *request.add_messages() = request.messages(0);
  EXPECT_EQ(RefusedField(request), "messages");
}

TEST_F(ChatRequestTest, UnknownBudgetNamesTheAllowedOnes) {
  v1::GenerateRequest request = Question("a");
  request.set_image_token_budget(100);
  const absl::Status status = Read(request).status();
  EXPECT_EQ(status.message(), "image_token_budget: found 100, allowed is 70, 140, 280, 560, 1120");
  request = Question("a");
  v1::Image& image = *request.mutable_messages(0)->add_parts()->mutable_image();
  image.set_data("x");
  image.set_token_budget(0);
  EXPECT_EQ(RefusedField(request), "messages[0].parts[1].image.token_budget");
}

TEST_F(ChatRequestTest, RefusesSampling) {
  const auto refused = [this](const std::function<void(v1::Sampling&)>& change) {
    v1::GenerateRequest request = Question("a");
    change(*request.mutable_sampling());
    return RefusedField(request);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refused([](v1::Sampling& s) { s.set_temperature(2.1f); }), "sampling.temperature");
  EXPECT_EQ(refused([&](v1::Sampling& s) { s.set_temperature(nan); }), "sampling.temperature");
  EXPECT_EQ(refused([](v1::Sampling& s) { s.set_top_p(0); }), "sampling.top_p");
  EXPECT_EQ(refused([&](v1::Sampling& s) { s.set_top_p(nan); }), "sampling.top_p");
  EXPECT_EQ(refused([](v1::Sampling& s) { s.set_min_p(-0.1f); }), "sampling.min_p");
}

TEST_F(ChatRequestTest, RefusesTheRest) {
  v1::GenerateRequest request = Question("a");
  request.set_max_output_tokens(0);
  EXPECT_EQ(RefusedField(request), "max_output_tokens");
  request = Question("a");
  request.add_stop("x");
  request.add_stop("");
  EXPECT_EQ(RefusedField(request), "stop[1]");
  request.set_stop(1, std::string(129, 'x'));
  EXPECT_EQ(RefusedField(request), "stop[1]");
  request = Question("a");
  for (int i = 0; i < 17; ++i) request.add_stop("x");
  EXPECT_EQ(RefusedField(request), "stop");
  request = Question("a");
  request.set_log_probabilities(21);
  EXPECT_EQ(RefusedField(request), "log_probabilities");
  request = Question("a");
  request.add_stop_token_ids(1 << 20);
  EXPECT_EQ(RefusedField(request), "stop_token_ids[0]");
  request = Question("a");
  for (int i = 0; i < 17; ++i) request.add_stop_token_ids(1);
  EXPECT_EQ(RefusedField(request), "stop_token_ids");
  request = Question("a");
  request.set_thinking(static_cast<v1::ThinkingMode>(9));
  EXPECT_EQ(RefusedField(request), "thinking");
  request = Question("a");
  request.set_route(static_cast<v1::Route>(4));
  EXPECT_EQ(RefusedField(request), "route");
  request.set_route(v1::ROUTE_LOCAL);
  EXPECT_EQ(Read(request)->route, RouteKind::kLocal);
  request.mutable_messages(0)->add_parts()->mutable_image()->set_data("picture");
  EXPECT_EQ(RefusedField(request), "route") << "only for prompts of text";
}

TEST_F(ChatRequestTest, ACacheSaltIsShortText) {
  v1::GenerateRequest request = Question("a");
  request.set_cache_salt(std::string(64, 's'));
  EXPECT_EQ(Read(request)->cache_salt, request.cache_salt());
  request.set_cache_salt(std::string(65, 's'));
  EXPECT_EQ(RefusedField(request), "cache_salt");
  request.set_cache_salt("\xff");
  EXPECT_EQ(RefusedField(request, Reason::kTextNotUtf8), "cache_salt");
}

TEST_F(ChatRequestTest, CandidatesAreOneToEight) {
  v1::GenerateRequest request = Question("a");
  EXPECT_EQ(Read(request)->candidates, 1);
  request.set_candidates(1);
  EXPECT_EQ(Read(request)->candidates, 1);
  request.set_candidates(8);
  EXPECT_EQ(Read(request)->candidates, 8);
  for (const uint32_t too_many : {9u, 4'294'967'295u}) {
    request.set_candidates(too_many);
    EXPECT_EQ(RefusedField(request), "candidates");
  }
  request.set_candidates(9);
  EXPECT_EQ(Read(request).status().message(), "candidates: found 9, allowed is 1 to 8");
}

TEST_F(ChatRequestTest, PriorityIsNormalUnlessSaid) {
  v1::GenerateRequest request = Question("a");
  EXPECT_EQ(Read(request)->priority, Priority::kNormal);
  request.set_priority(v1::PRIORITY_LOW);
  EXPECT_EQ(Read(request)->priority, Priority::kLow);
  request.set_priority(v1::PRIORITY_NORMAL);
  EXPECT_EQ(Read(request)->priority, Priority::kNormal);
  request.set_priority(v1::PRIORITY_HIGH);
  EXPECT_EQ(Read(request)->priority, Priority::kHigh);
  request.set_priority(static_cast<v1::Priority>(4));
  EXPECT_EQ(RefusedField(request), "priority");
}

TEST_F(ChatRequestTest, SeveralCandidatesAreNotServedLocally) {
  v1::GenerateRequest request = Question("a");
  request.set_candidates(2);
  request.set_route(v1::ROUTE_DISAGGREGATED);
  EXPECT_EQ(Read(request)->route, RouteKind::kDisaggregated);
  request.set_route(v1::ROUTE_LOCAL);
  EXPECT_EQ(RefusedField(request), "route");
  request.set_candidates(1);
  EXPECT_EQ(Read(request)->route, RouteKind::kLocal);
}

TEST_F(ChatRequestTest, OtherModelsAreNotServed) {
  v1::GenerateRequest request = Question("a");
  request.set_model("other");
  const absl::Status status = Read(request).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(GetReason(status), Reason::kModelNotServed);
  request.set_model("test-model");
  EXPECT_TRUE(Read(request).ok());
}

}  // namespace
}  // namespace cleave
