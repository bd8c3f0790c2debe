// kill -9 at the worst moment: every answer is what it would have been, and all pages come home.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "runtime/base/clock.h"
#include "tests/cluster/process_cluster.h"
#include "tests/support/status_matchers.h"

namespace cleave::testing {
namespace {

// The reference kernels are slow enough to be interrupted.
const std::vector<std::string> kFlags{"--kernels",        "reference",     "--kv-dtype",
                                      "float32",          "--page-tokens", "8",
                                      "--context-tokens", "4000",          "--poison-free-pages"};
constexpr absl::Duration kTimeout = absl::Seconds(120);
constexpr uint32_t kLongAnswer = 1500;

// Runs long enough to be interrupted.
v1::GenerateRequest LongAnswer() {
  v1::GenerateRequest request = ReadGoldenRequests().front().request;
  request.set_max_output_tokens(kLongAnswer);
  request.set_ignore_stop_tokens(true);
  return request;
}

// Keeps the prefill worker busy for a while before its first token.
v1::GenerateRequest LongPrompt() {
  v1::GenerateRequest request = ReadGoldenRequests().front().request;
  std::string text;
  while (text.size() < 6000) text += "seven boats in the harbour ";
  request.mutable_messages(0)->mutable_parts(0)->set_text(text);
  return request;
}

using Streams = std::vector<std::unique_ptr<AnswerStream>>;

Streams StartTwoLongPrompts(const ProcessCluster& cluster) {
  Streams streams;
  for (int i = 0; i < 2; ++i) {
    streams.push_back(
        std::make_unique<AnswerStream>(cluster.gateway_address(), LongPrompt(), kTimeout));
    EXPECT_TRUE(streams.back()->Next());  // Started
  }
  return streams;
}

// Both have the same answer, and one of them was begun twice.
void ExpectOneWentOnElsewhere(const Streams& streams) {
  uint32_t replays = 0;
  for (const auto& stream : streams) {
    EXPECT_OK(stream->Finish().status);
    EXPECT_EQ(stream->answer().text, streams[0]->answer().text);
    replays += stream->answer().summary.replays();
  }
  EXPECT_EQ(replays, 1u);
}

void ExpectAnswers(const std::string& gateway) {
  const GoldenRequest golden = ReadGoldenRequests().front();
  AnswerStream stream(gateway, golden.request, kTimeout);
  EXPECT_OK(stream.Finish().status);
  EXPECT_EQ(stream.answer().text, golden.text);
}

TEST(FaultsTest, ADecodeWorkerDies) {
  // Greedy, and sampled with a seed.
  for (const float temperature : {0.0f, 1.0f}) {
    ProcessCluster cluster({.decode_workers = 2, .worker_flags = kFlags});
    v1::GenerateRequest request = LongAnswer();
    request.mutable_sampling()->set_temperature(temperature);
    request.mutable_sampling()->set_seed(7);
    AnswerStream alone(cluster.gateway_address(), request, kTimeout);
    ASSERT_OK(alone.Finish().status);
    Streams streams;
    for (int i = 0; i < 4; ++i) {
      streams.push_back(
          std::make_unique<AnswerStream>(cluster.gateway_address(), request, kTimeout));
      ASSERT_TRUE(streams.back()->WaitForText()) << streams.back()->answer().status;
    }
    ProcessCluster::Kill(cluster.decode(0));
    uint32_t replays = 0;
    for (const auto& stream : streams) {
      const StreamedAnswer& answer = stream->Finish();
      EXPECT_OK(answer.status);
      EXPECT_EQ(answer.output_tokens, kLongAnswer);
      EXPECT_EQ(answer.text, alone.answer().text);
      replays += answer.summary.replays();
    }
    EXPECT_GT(replays, 0u);
    EXPECT_LT(replays, 4u) << "the other two were not disturbed";
    ProcessCluster::WaitUntilEmpty(cluster.decode_address(1));
    ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
  }
}

// More answers than there are pages: some wait, some are given back and go on later, none is lost,
// and each is what it is alone.
TEST(FaultsTest, MemoryPressureChangesNoAnswer) {
  ProcessCluster cluster(
      {.worker_flags = {"--kv-dtype", "float32", "--page-tokens", "8", "--context-tokens", "512",
                        "--kv-memory-mib", "1", "--poison-free-pages"}});
  v1::GenerateRequest request = LongAnswer();
  request.set_max_output_tokens(300);
  request.mutable_sampling()->set_temperature(1);
  std::vector<std::string> expected;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    request.mutable_sampling()->set_seed(seed);
    AnswerStream alone(cluster.gateway_address(), request, kTimeout);
    ASSERT_OK(alone.Finish().status);
    expected.push_back(alone.answer().text);
  }
  constexpr char kPreemptions[] = "cleave_decode_preemptions_total";
  EXPECT_EQ(cluster.DecodeMetric(0, kPreemptions), 0);
  Streams streams;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    request.mutable_sampling()->set_seed(seed);
    request.set_route(seed % 2 == 0 ? v1::ROUTE_DISAGGREGATED : v1::ROUTE_LOCAL);
    streams.push_back(std::make_unique<AnswerStream>(cluster.gateway_address(), request, kTimeout));
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_OK(streams[i]->Finish().status);
    EXPECT_EQ(streams[i]->answer().text, expected[i]);
  }
  EXPECT_GT(cluster.DecodeMetric(0, kPreemptions), 0);
  EXPECT_EQ(cluster.DecodeMetric(0, "cleave_kv_pages_unaccounted"), 0);
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
  ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
}

TEST(FaultsTest, APrefillWorkerDies) {
  ProcessCluster cluster(
      {.prefill_workers = 2, .worker_flags = kFlags, .prefill_flags = {"--chunk-tokens", "1"}});
  const Streams streams = StartTwoLongPrompts(cluster);
  cleave::SleepFor(absl::Milliseconds(300));
  ProcessCluster::Kill(cluster.prefill(0));
  ExpectOneWentOnElsewhere(streams);
  ExpectAnswers(cluster.gateway_address());
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
  ProcessCluster::WaitUntilEmpty(cluster.prefill_address(1));
}

TEST(FaultsTest, TheGatewayDies) {
  ProcessCluster cluster({.worker_flags = kFlags, .prefill_flags = {"--chunk-tokens", "4"}});
  Streams streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(
        std::make_unique<AnswerStream>(cluster.gateway_address(), LongAnswer(), kTimeout));
    ASSERT_TRUE(streams.back()->WaitForText());
  }
  AnswerStream prompt(cluster.gateway_address(), LongPrompt(), kTimeout);
  ASSERT_TRUE(prompt.Next());
  ProcessCluster::Kill(cluster.gateway());
  for (const auto& stream : streams) EXPECT_FALSE(stream->Finish().status.ok());
  EXPECT_FALSE(prompt.Finish().status.ok());
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
  ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
}

TEST(FaultsTest, ADecodeWorkerDiesWhileItReceives) {
  ProcessCluster cluster({.prefill_workers = 2,
                          .decode_workers = 2,
                          .worker_flags = kFlags,
                          .prefill_flags = {"--chunk-tokens", "1"}});
  const Streams streams = StartTwoLongPrompts(cluster);
  constexpr char kFrames[] = "cleave_kvlink_frames_total{transport=\"grpc\"}";
  ASSERT_TRUE(WaitFor([&] { return cluster.DecodeMetric(0, kFrames) > 0; }));
  ProcessCluster::Kill(cluster.decode(0));
  ExpectOneWentOnElsewhere(streams);
  ExpectAnswers(cluster.gateway_address());
  for (int i = 0; i < 2; ++i) ProcessCluster::WaitUntilEmpty(cluster.prefill_address(i));
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(1));
}

// A worker that hangs instead of dying keeps its connections. What waits for it ends at the latest
// with its own deadline, and the worker serves on when it comes back.
TEST(FaultsTest, AFrozenWorkerHoldsNobodyBeyondTheDeadline) {
  for (const bool freeze_decode : {true, false}) {
    ProcessCluster cluster({.worker_flags = kFlags,
                            .prefill_flags = {"--chunk-tokens", "1"},
                            .gateway_flags = {"--request-timeout-max", "4"}});
    const v1::GenerateRequest request = freeze_decode ? LongAnswer() : LongPrompt();
    AnswerStream stream(cluster.gateway_address(), request, kTimeout);
    if (freeze_decode) {
      ASSERT_TRUE(stream.WaitForText());
      ASSERT_TRUE(WaitFor([&] {
        return cluster.DecodeMetric(0, "cleave_requests_running{role=\"decode\"}") == 1;
      }));
    } else {
      ASSERT_TRUE(WaitFor([&] {
        return cluster.PrefillMetric(0, "cleave_requests_running{role=\"prefill\"}") == 1;
      }));
    }
    ChildProcess& worker = freeze_decode ? cluster.decode(0) : cluster.prefill(0);
    ProcessCluster::Freeze(worker);
    const absl::Status status = stream.Finish().status;
    const Reason reason = GetReason(status);
    if (freeze_decode) {  // its first tokens may have been on their way
      EXPECT_TRUE(reason == Reason::kDecodeDeadline || reason == Reason::kTransferDeadline)
          << status;
    } else {
      EXPECT_EQ(ReasonName(reason), ReasonName(Reason::kPrefillDeadline)) << status;
    }
    ProcessCluster::Thaw(worker);
    cluster.WaitUntilServing();
    ExpectAnswers(cluster.gateway_address());
    ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
    ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
  }
}

// What the stalled one has waits for it, or goes on elsewhere once it counts as dead.
TEST(FaultsTest, AStalledDecodeWorkerHoldsUpOnlyItsOwnRequests) {
  ProcessCluster cluster(
      {.decode_workers = 2, .worker_flags = kFlags, .prefill_flags = {"--chunk-tokens", "1"}});
  AnswerStream held(cluster.gateway_address(), LongPrompt(), kTimeout);
  ASSERT_TRUE(held.Next());
  constexpr char kFrames[] = "cleave_kvlink_frames_total{transport=\"grpc\"}";
  const auto receives = [&](int i) { return cluster.DecodeMetric(i, kFrames) > 0; };
  ASSERT_TRUE(WaitFor([&] { return receives(0) || receives(1); }));
  ChildProcess& stalled = cluster.decode(receives(0) ? 0 : 1);
  ProcessCluster::Freeze(stalled);
  for (int i = 0; i < 3; ++i) ExpectAnswers(cluster.gateway_address());
  ProcessCluster::Thaw(stalled);
  EXPECT_OK(held.Finish().status);
  AnswerStream alone(cluster.gateway_address(), LongPrompt(), kTimeout);
  EXPECT_EQ(held.answer().text, alone.Finish().text);
  for (int i = 0; i < 2; ++i) ProcessCluster::WaitUntilEmpty(cluster.decode_address(i));
  ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
}

TEST(FaultsTest, AClientThatLeavesFreesItsPages) {
  ProcessCluster cluster({.worker_flags = kFlags});
  {
    // At a deadline the worker might be the first to notice, and then nobody cancels.
    AnswerStream stream(cluster.gateway_address(), LongAnswer(), kTimeout);
    ASSERT_TRUE(stream.WaitForText());
  }
  ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
  ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
  EXPECT_EQ(cluster.DecodeMetric(0, "cleave_cancel_to_free_seconds_count{role=\"decode\"}"), 1);
  ExpectAnswers(cluster.gateway_address());
}

// What a worker that stops cannot finish in its time goes on elsewhere; it does not count as a
// death.
TEST(FaultsTest, ADrainThatTakesTooLongChangesNoAnswer) {
  ProcessCluster cluster(
      {.decode_workers = 2, .worker_flags = kFlags, .decode_flags = {"--drain-timeout", "0"}});
  AnswerStream alone(cluster.gateway_address(), LongAnswer(), kTimeout);
  ASSERT_OK(alone.Finish().status);
  AnswerStream stream(cluster.gateway_address(), LongAnswer(), kTimeout);
  ASSERT_TRUE(stream.WaitForText());
  const auto runs = [&](int i) {
    return cluster.DecodeMetric(i, "cleave_requests_running{role=\"decode\"}") == 1;
  };
  ASSERT_TRUE(WaitFor([&] { return runs(0) || runs(1); }));
  ChildProcess& stopped = cluster.decode(runs(0) ? 0 : 1);
  stopped.Stop(absl::Seconds(30));
  EXPECT_EQ(stopped.Ended(), "exit code 0");
  EXPECT_OK(stream.Finish().status);
  EXPECT_EQ(stream.answer().text, alone.answer().text);
  EXPECT_EQ(cluster.GatewayMetric(
                "cleave_gateway_replays_total{arithmetic=\"equal\",reason=\"DRAINING\"}"),
            1);
}

TEST(FaultsTest, ADrainedWorkerFinishesWhatItHas) {
  ProcessCluster cluster({.worker_flags = kFlags});
  v1::GenerateRequest request = LongAnswer();
  request.set_max_output_tokens(500);
  AnswerStream stream(cluster.gateway_address(), request, kTimeout);
  ASSERT_TRUE(stream.WaitForText());
  cluster.decode(0).Stop(absl::Seconds(30));
  EXPECT_OK(stream.Finish().status);
  EXPECT_EQ(stream.answer().output_tokens, 500u);
  EXPECT_EQ(cluster.decode(0).Ended(), "exit code 0");
}

}  // namespace
}  // namespace cleave::testing
