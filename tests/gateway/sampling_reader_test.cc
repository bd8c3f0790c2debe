#include "gateway/sampling_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "gateway/chat_request.h"
#include "runtime/base/error.h"
#include "tests/gateway/refusal.h"
#include "tests/gateway/test_model.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class SamplingReaderTest : public testing::Test {
 protected:
  std::string RefusedField(const v1::GenerateRequest& request) {
    return CheckRefusal(ReadRules(request, model_).status(), Reason::kFieldInvalid);
  }
  const ServedModel model_ = LoadTestModel();
};

TEST_F(SamplingReaderTest, DefaultsChangeNothing) {
  EXPECT_EQ(*ReadRules({}, model_), RulesChoice{});
}

TEST_F(SamplingReaderTest, ReadsAllRules) {
  v1::GenerateRequest request;
  v1::Sampling& sampling = *request.mutable_sampling();
  sampling.set_repetition_penalty(1.25f);
  sampling.set_presence_penalty(-2);
  sampling.set_frequency_penalty(0.5f);
  sampling.add_logit_bias()->set_token_id(4);
  sampling.mutable_logit_bias(0)->set_bias(-100);
  request.set_min_output_tokens(3);
  request.set_thinking(v1::THINKING_MODE_ON);
  request.set_thinking_budget_tokens(0);
  const RulesChoice rules = *ReadRules(request, model_);
  EXPECT_EQ(rules.repetition_penalty, 1.25f);
  EXPECT_EQ(rules.presence_penalty, -2);
  EXPECT_EQ(rules.frequency_penalty, 0.5f);
  EXPECT_THAT(rules.bias, ElementsAre(Pair(4, -100)));
  EXPECT_EQ(rules.output_tokens_min, 3u);
  EXPECT_EQ(rules.thought_tokens_max, 0u);
}

TEST_F(SamplingReaderTest, RefusesWhatIsOutOfRange) {
  const auto refused = [this](const std::function<void(v1::GenerateRequest&)>& change) {
    v1::GenerateRequest request;
    change(request);
    return RefusedField(request);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refused([](auto& r) { r.mutable_sampling()->set_repetition_penalty(0); }),
            "sampling.repetition_penalty");
  EXPECT_EQ(refused([&](auto& r) { r.mutable_sampling()->set_repetition_penalty(nan); }),
            "sampling.repetition_penalty");
  EXPECT_EQ(refused([](auto& r) { r.mutable_sampling()->set_presence_penalty(2.5f); }),
            "sampling.presence_penalty");
  EXPECT_EQ(refused([](auto& r) { r.mutable_sampling()->set_frequency_penalty(-2.5f); }),
            "sampling.frequency_penalty");
  EXPECT_EQ(refused([](auto& r) { r.mutable_sampling()->add_logit_bias()->set_token_id(1 << 20); }),
            "sampling.logit_bias[0].token_id");
  EXPECT_EQ(refused([&](auto& r) { r.mutable_sampling()->add_logit_bias()->set_bias(nan); }),
            "sampling.logit_bias[0].bias");
  EXPECT_EQ(refused([](auto& r) {
              r.mutable_sampling()->add_logit_bias();
              r.mutable_sampling()->add_logit_bias();
            }),
            "sampling.logit_bias[1].token_id");
  EXPECT_EQ(refused([](auto& r) {
              for (int i = 0; i < 257; ++i) r.mutable_sampling()->add_logit_bias();
            }),
            "sampling.logit_bias");
  EXPECT_EQ(refused([](auto& r) { r.set_thinking_budget_tokens(5); }), "thinking_budget_tokens");
}

}  // namespace
}  // namespace cleave
