// Three real processes answer requests with text, pictures and sounds as the reference
// implementation does, however the prompt is cut and whoever is served beside.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "tests/cluster/process_cluster.h"
#include "tests/support/status_matchers.h"

namespace cleave::testing {
namespace {

// The reference computes in float32 and keeps float32 KV.
const std::vector<std::string> kExact{"--kv-dtype",       "float32", "--page-tokens",      "8",
                                      "--context-tokens", "2048",    "--poison-free-pages"};
const std::string kDrafter = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny_assistant";
const std::vector<std::string> kDrafts{"--drafter", kDrafter, "--drafts", "4", "--fixed-drafts"};
constexpr absl::Duration kTimeout = absl::Seconds(120);

// All at once.
void ExpectTheReferencesAnswersInCompany(const ProcessCluster& cluster) {
  const std::vector<GoldenRequest> goldens = ReadGoldenRequests();
  std::vector<std::unique_ptr<AnswerStream>> streams;
  streams.reserve(goldens.size());
  for (const GoldenRequest& golden : goldens) {
    streams.push_back(
        std::make_unique<AnswerStream>(cluster.gateway_address(), golden.request, kTimeout));
  }
  for (size_t i = 0; i < goldens.size(); ++i) {
    const StreamedAnswer& answer = streams[i]->Finish();
    EXPECT_OK(answer.status) << goldens[i].name << " in company";
    EXPECT_EQ(answer.text, goldens[i].text) << goldens[i].name << " in company";
    EXPECT_EQ(answer.output_tokens, goldens[i].output_tokens) << goldens[i].name << " in company";
  }
}

class ServingTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ServingTest, AnswersAreTheReferences) {
  ProcessCluster cluster({.worker_flags = kExact, .prefill_flags = {"--chunk-tokens", GetParam()}});
  // One after the other, then all at once.
  for (const GoldenRequest& golden : ReadGoldenRequests()) {
    AnswerStream stream(cluster.gateway_address(), golden.request, kTimeout);
    const StreamedAnswer& answer = stream.Finish();
    EXPECT_OK(answer.status) << golden.name;
    EXPECT_EQ(answer.text, golden.text) << golden.name;
    EXPECT_EQ(answer.output_tokens, golden.output_tokens) << golden.name;
    EXPECT_EQ(answer.summary.usage().prompt_tokens(), golden.prompt_tokens) << golden.name;
    EXPECT_EQ(answer.finish, golden.finish) << golden.name;
    EXPECT_TRUE(answer.has_summary) << golden.name;
  }
  ExpectTheReferencesAnswersInCompany(cluster);
  ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
}

INSTANTIATE_TEST_SUITE_P(Chunks, ServingTest, ::testing::Values("1", "7", "64", "1120"));

// A drafter spares steps and changes nothing.
TEST(DraftsTest, AnswersAreTheReferencesWithDraftsToo) {
  ProcessCluster cluster({.worker_flags = kExact, .decode_flags = kDrafts});
  ExpectTheReferencesAnswersInCompany(cluster);
  EXPECT_GT(cluster.DecodeMetric(0, "cleave_mtp_drafted_tokens_total{position=\"1\"}"), 0);
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
}

// Rules and log-probabilities are the same with drafts and without.
TEST(DraftsTest, LogProbabilitiesAreTheSameWithDrafts) {
  v1::GenerateRequest request = ReadGoldenRequests().front().request;
  request.mutable_sampling()->set_temperature(1);
  request.mutable_sampling()->set_seed(3);
  request.mutable_sampling()->set_frequency_penalty(0.5f);
  request.set_min_output_tokens(20);
  request.set_log_probabilities(2);
  const auto ask = [&](const std::vector<std::string>& flags) {
    ProcessCluster cluster({.worker_flags = kExact, .decode_flags = flags});
    AnswerStream stream(cluster.gateway_address(), request, kTimeout);
    const StreamedAnswer& answer = stream.Finish();
    EXPECT_OK(answer.status);
    EXPECT_EQ(answer.log_probabilities.size(), answer.output_tokens);
    EXPECT_GE(answer.output_tokens, 20u);
    return answer.log_probabilities;
  };
  EXPECT_EQ(ask({}), ask(kDrafts));
}

TEST(SamplingTest, EqualSeedsGiveEqualAnswersAndOthersDiffer) {
  ProcessCluster cluster({.prefill_workers = 2, .decode_workers = 2, .worker_flags = kExact});
  v1::GenerateRequest request = ReadGoldenRequests().front().request;
  request.mutable_sampling()->set_temperature(1);
  request.set_ignore_stop_tokens(true);
  const auto ask = [&](uint64_t seed) {
    request.mutable_sampling()->set_seed(seed);
    AnswerStream stream(cluster.gateway_address(), request, kTimeout);
    EXPECT_OK(stream.Finish().status);
    return stream.answer().text;
  };
  const std::string first = ask(1);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(ask(1), first);
  EXPECT_NE(ask(2), first);
}

// The worker hears that nothing more is wanted of one of two, and goes on with the other.
TEST(CandidatesTest, AStopStringEndsOneOnTheWorkerToo) {
  constexpr uint32_t kTokens = 300;
  const ProcessCluster cluster({.worker_flags = kExact});
  v1::GenerateRequest request = ReadGoldenRequests().front().request;
  request.set_candidates(2);
  request.mutable_sampling()->set_temperature(1);
  request.mutable_sampling()->set_seed(3);
  request.set_ignore_stop_tokens(true);
  request.set_max_output_tokens(kTokens);
  const auto ask = [&] {
    absl::StatusOr<AskResult> result =
        ChatClient(cluster.gateway_address()).Ask({.base = request}, nullptr);
    EXPECT_OK(result.status());
    return *std::move(result);
  };
  const AskResult whole = ask();
  const std::string stop = whole.text.substr(5, 6);
  ASSERT_FALSE(absl::StrContains(whole.others[0].text, stop));
  request.add_stop(stop);
  const auto generated = [&] {
    return cluster.DecodeMetric(0, "cleave_tokens_total{kind=\"output\",role=\"decode\"}");
  };
  const double before = generated();
  const AskResult cut = ask();
  EXPECT_EQ(cut.text, whole.text.substr(0, 5));
  EXPECT_EQ(cut.finished.reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(cut.others[0].text, whole.others[0].text);
  EXPECT_LT(generated() - before, 1.5 * kTokens);
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
}

// The decode worker computes the prompt itself, in chunks beside what runs, and with drafts.
TEST(LocalRouteTest, AnswersAreTheReferences) {
  ProcessCluster cluster({.worker_flags = kExact, .decode_flags = kDrafts});
  std::vector<std::unique_ptr<AnswerStream>> streams;
  std::vector<GoldenRequest> asked;
  for (GoldenRequest& golden : ReadGoldenRequests()) {
    golden.request.set_route(v1::ROUTE_LOCAL);
    AnswerStream stream(cluster.gateway_address(), golden.request, kTimeout);
    const StreamedAnswer& answer = stream.Finish();
    if (!answer.status.ok()) {  // only prompts of text have this route
      EXPECT_EQ(GetErrorDetail(answer.status)->field, "route");
      continue;
    }
    EXPECT_EQ(answer.text, golden.text) << golden.name;
    EXPECT_EQ(answer.summary.route(), v1::ROUTE_LOCAL);
    asked.push_back(golden);
  }
  ASSERT_FALSE(asked.empty());
  for (int i = 0; i < 12; ++i) {  // on both routes at once
    GoldenRequest& golden = asked[static_cast<size_t>(i) % asked.size()];
    golden.request.set_route(i % 3 == 0 ? v1::ROUTE_DISAGGREGATED : v1::ROUTE_LOCAL);
    streams.push_back(
        std::make_unique<AnswerStream>(cluster.gateway_address(), golden.request, kTimeout));
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(streams[i]->Finish().text, asked[i % asked.size()].text);
  }
  EXPECT_EQ(cluster.DecodeMetric(0, "cleave_kv_pages_unaccounted"), 0);
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
}

// A second turn is not computed from the start: with a picture in the first, and with thoughts,
// which its history does not show.
TEST(PrefixCacheServingTest, ASecondTurnBeginsWhereTheFirstPromptEnded) {
  for (const v1::ThinkingMode thinking : {v1::THINKING_MODE_OFF, v1::THINKING_MODE_ON}) {
    for (GoldenRequest& golden : ReadGoldenRequests()) {
      v1::GenerateRequest& request = golden.request;
      request.set_thinking(thinking);
      request.set_max_output_tokens(8);
      const auto ask = [&](const ProcessCluster& cluster) {
        AnswerStream stream(cluster.gateway_address(), request, kTimeout);
        EXPECT_OK(stream.Finish().status) << golden.name;
        return stream.answer();
      };
      ProcessCluster cluster({.worker_flags = kExact});
      const StreamedAnswer first = ask(cluster);
      v1::Message& said = *request.add_messages();
      said.set_role(v1::ROLE_MODEL);
      said.add_parts()->set_text("the use");
      v1::Message& next = *request.add_messages();
      next.set_role(v1::ROLE_USER);
      next.add_parts()->set_text("And now?");
      const StreamedAnswer warm = ask(cluster);
      EXPECT_EQ(first.summary.usage().cached_prompt_tokens(), 0u);
      EXPECT_GT(warm.summary.usage().cached_prompt_tokens(),
                first.summary.usage().prompt_tokens() / 2);
      ProcessCluster fresh(
          {.worker_flags = kExact, .prefill_flags = {"--prefix-cache-share", "0"}});
      const StreamedAnswer cold = ask(fresh);
      EXPECT_EQ(cold.summary.usage().cached_prompt_tokens(), 0u);
      EXPECT_EQ(warm.text + warm.thought, cold.text + cold.thought) << golden.name;
    }
  }
}

TEST(MetricsTest, BothEndsCountTheSameBytesAndNoPageIsUnaccounted) {
  ProcessCluster cluster({.worker_flags = kExact});
  constexpr char kUnaccounted[] = "cleave_kv_pages_unaccounted";
  constexpr char kBytes[] = "cleave_kvlink_bytes_total{transport=\"grpc\"}";
  EXPECT_EQ(cluster.DecodeMetric(0, kBytes), 0);
  for (const GoldenRequest& golden : ReadGoldenRequests()) {
    AnswerStream stream(cluster.gateway_address(), golden.request, kTimeout);
    while (stream.Next()) {
      EXPECT_EQ(cluster.PrefillMetric(0, kUnaccounted), 0);
      EXPECT_EQ(cluster.DecodeMetric(0, kUnaccounted), 0);
    }
    EXPECT_OK(stream.answer().status);
  }
  EXPECT_GT(cluster.DecodeMetric(0, kBytes), 0);
  EXPECT_EQ(cluster.DecodeMetric(0, kBytes), cluster.PrefillMetric(0, kBytes));
  EXPECT_EQ(cluster.PrefillMetric(0, "cleave_kvlink_failures_total{transport=\"grpc\"}"), 0);
  EXPECT_EQ(cluster.PrefillMetric(0, "cleave_kvlink_state{state=\"open\",transport=\"grpc\"}"), 1);
}

TEST(BadInputTest, OneClearErrorAndTheClusterGoesOn) {
  ProcessCluster cluster({.worker_flags = kExact});
  const v1::GenerateRequest good = ReadGoldenRequests().front().request;
  struct BadCase {
    std::function<void(v1::GenerateRequest&)> spoil;
    Reason reason;
    std::string field;
  };
  const auto first_part = [](v1::GenerateRequest& request) -> v1::Part& {
    return *request.mutable_messages(0)->mutable_parts(0);
  };
  const std::vector<BadCase> cases = {
      {[](auto& r) { r.clear_messages(); }, Reason::kFieldInvalid, "messages"},
      {[](auto& r) { r.set_image_token_budget(100); }, Reason::kFieldInvalid, "image_token_budget"},
      {[&](auto& r) { first_part(r).mutable_image()->set_data("\xff\xd8\xff broken"); },
       Reason::kMediaUndecodable, "messages[0].parts[0].image"},
      {[&](auto& r) { first_part(r).mutable_image()->set_data("BM.........."); },
       Reason::kMediaUnsupported, "messages[0].parts[0].image"},
      {[&](auto& r) { first_part(r).mutable_audio()->set_data(""); }, Reason::kMediaUndecodable,
       "messages[0].parts[0].audio"},
      {[&](auto& r) { first_part(r).set_text(std::string(100'000, 'x')); }, Reason::kContextTooLong,
       ""},
      {[](auto& r) { r.mutable_sampling()->set_top_p(0); }, Reason::kFieldInvalid,
       "sampling.top_p"},
      {[](auto& r) { r.set_model("another"); }, Reason::kModelNotServed, "model"},
  };
  for (const BadCase& bad : cases) {
    v1::GenerateRequest request = good;
    bad.spoil(request);
    AnswerStream stream(cluster.gateway_address(), request, kTimeout);
    const absl::Status status = stream.Finish().status;
    const std::optional<ErrorDetail> detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value()) << status;
    EXPECT_EQ(ReasonName(detail->reason), ReasonName(bad.reason)) << status;
    EXPECT_EQ(detail->field.rfind(bad.field, 0), 0u) << detail->field << " is not " << bad.field;
    EXPECT_FALSE(status.message().empty());
  }
  AnswerStream stream(cluster.gateway_address(), good, kTimeout);
  EXPECT_OK(stream.Finish().status);
}

}  // namespace
}  // namespace cleave::testing
