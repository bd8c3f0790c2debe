// The same tokens however served: alone or with seven strangers, with drafts and without, on either
// route or by the model in this process, computed or from the prefix cache, with pages for
// everybody or for few, after the death of a worker; greedy and sampled; for text, thoughts, tools,
// pictures and sounds. Tokens are compared, and the bits of the log-probabilities of twenty
// likeliest at each place. The small trained model answers, with its drafter. Golden logits are
// tested in tests/golden.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/content_hash.h"
#include "tests/chip/chip_cases.h"
#include "tests/cluster/answer_alone.h"
#include "tests/cluster/process_cluster.h"
#include "tests/support/status_matchers.h"

namespace cleave::testing {
namespace {

const std::string kChip = CLEAVE_SOURCE_DIR "/deploy/chip";
constexpr absl::Duration kTimeout = absl::Seconds(120);
const std::vector<std::string> kSkills = {"memory",
                                          "sums with thinking",
                                          "tool call",
                                          "tool result",
                                          "word in a picture",
                                          "two pictures",
                                          "spoken digits in a row",
                                          "picture and sound"};

struct Question {
  std::string name;
  v1::GenerateRequest request;
  bool has_media = false;
};

// One of each skill, greedy and sampled: eight that are strangers to each other. Sampled answers go
// on behind their end, so that they are long enough to be disturbed, and every other has rules.
std::vector<Question> Questions(bool sampled) {
  std::map<std::string, v1::GenerateRequest> found;
  const auto cases = ReadChipCases(CLEAVE_SOURCE_DIR "/tests/chip/cases.jsonl");
  EXPECT_OK(cases.status());
  for (const ChipCase& one : *cases) found.emplace(one.skill, one.request);
  std::vector<Question> questions;
  for (const std::string& skill : kSkills) {
    Question question{.name = skill, .request = found.at(skill)};
    for (const v1::Message& message : question.request.messages()) {
      for (const v1::Part& part : message.parts()) {
        question.has_media |= part.has_image() || part.has_audio();
      }
    }
    question.request.set_log_probabilities(20);
    if (sampled) {
      v1::Sampling& sampling = *question.request.mutable_sampling();
      sampling.set_temperature(1);
      sampling.set_seed(questions.size());
      if (questions.size() % 2 == 1) {
        sampling.set_repetition_penalty(1.2f);
        sampling.set_frequency_penalty(0.1f);
        question.request.set_min_output_tokens(30);
      }
      question.request.set_ignore_stop_tokens(true);
      question.request.set_max_output_tokens(120);
    }
    questions.push_back(std::move(question));
  }
  return questions;
}

// One more whose thought is ended by force.
std::vector<Question> WithACutThought(std::vector<Question> questions) {
  for (const Question& question : questions) {
    if (question.name != "sums with thinking") continue;
    questions.push_back({.name = "a thought that is cut", .request = question.request});
    questions.back().request.set_thinking_budget_tokens(7);
    break;
  }
  return questions;
}

// What must be equal: all that the client is told of the answer.
std::string Told(const StreamedAnswer& answer) {
  EXPECT_OK(answer.status);
  EXPECT_EQ(answer.log_probabilities.size(), answer.output_tokens);
  const ContentHash bits = HashContent(absl::StrJoin(answer.log_probabilities, ""));
  const std::string hash(bits.begin(), bits.end());
  return absl::StrCat(answer.output_tokens, " ", answer.thought, "|", answer.text, "|",
                      answer.calls, "|", v1::FinishReason_Name(answer.finish), "|",
                      absl::BytesToHexString(hash));
}

std::vector<std::string> AskAlone(const ProcessCluster& cluster,
                                  const std::vector<Question>& questions) {
  std::vector<std::string> told;
  told.reserve(questions.size());
  for (const Question& question : questions) {
    AnswerStream stream(cluster.gateway_address(), question.request, kTimeout);
    told.push_back(Told(stream.Finish()));
  }
  return told;
}

using Streams = std::vector<std::unique_ptr<AnswerStream>>;

Streams Ask(const ProcessCluster& cluster, const std::vector<Question>& questions) {
  Streams streams;
  streams.reserve(questions.size());
  for (const Question& question : questions) {
    streams.push_back(
        std::make_unique<AnswerStream>(cluster.gateway_address(), question.request, kTimeout));
  }
  return streams;
}

std::vector<std::string> Finish(const Streams& streams) {
  std::vector<std::string> told;
  told.reserve(streams.size());
  for (const auto& stream : streams) told.push_back(Told(stream->Finish()));
  return told;
}

std::vector<std::string> AskTogether(const ProcessCluster& cluster,
                                     const std::vector<Question>& questions) {
  return Finish(Ask(cluster, questions));
}

std::vector<Question> Local(std::vector<Question> questions) {
  for (Question& question : questions) {
    if (!question.has_media) question.request.set_route(v1::ROUTE_LOCAL);
  }
  return questions;
}

std::vector<std::string> Flags(std::vector<std::string> more) {
  std::vector<std::string> flags{"--context-tokens", "1024", "--page-tokens", "8",
                                 "--poison-free-pages"};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

class EqualityMatrixTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kChip + "/model.safetensors")) {
      GTEST_SKIP() << "deploy/chip holds no checkpoint; deploy/chip/train/run makes one";
    }
  }
};

const std::vector<std::vector<std::string>> kDrafts = {
    {"--drafts", "0"}, {"--drafts", "5", "--fixed-drafts"}, {"--drafts", "6"}};

TEST_P(EqualityMatrixTest, AnswersAreTheSameHoweverServed) {
  const std::vector<Question> questions = WithACutThought(Questions(GetParam()));
  std::vector<std::string> expected;
  {
    ProcessCluster plain({.model = kChip,
                          .worker_flags = Flags({}),
                          .prefill_flags = {"--prefix-cache-share", "0"},
                          .decode_flags = {"--drafts", "0"}});
    expected = AskAlone(plain, questions);
  }
  for (const std::vector<std::string>& drafts : kDrafts) {
    SCOPED_TRACE(absl::StrJoin(drafts, " "));
    {
      const ProcessCluster cold({.model = kChip,
                                 .worker_flags = Flags({}),
                                 .prefill_flags = {"--prefix-cache-share", "0"},
                                 .decode_flags = drafts});
      EXPECT_EQ(AskAlone(cold, questions), expected) << "alone, computed";
    }
    ProcessCluster cluster({.model = kChip,
                            .worker_flags = Flags({}),
                            .prefill_flags = {"--chunk-tokens", "48"},
                            .decode_flags = drafts});
    EXPECT_EQ(AskTogether(cluster, questions), expected) << "strangers, computed";
    EXPECT_EQ(AskAlone(cluster, questions), expected) << "alone, from the cache";
    EXPECT_EQ(AskTogether(cluster, questions), expected) << "strangers, from the cache";
    EXPECT_GT(cluster.PrefillMetric(0, "cleave_prefix_cache_tokens_total{result=\"hit\"}"), 0);
    EXPECT_EQ(AskAlone(cluster, Local(questions)), expected) << "alone, local";
    EXPECT_EQ(AskTogether(cluster, Local(questions)), expected) << "strangers, local";
    EXPECT_EQ(cluster.PrefillMetric(0, "cleave_kv_pages_unaccounted"), 0);
    EXPECT_EQ(cluster.DecodeMetric(0, "cleave_kv_pages_unaccounted"), 0);
  }
}

TEST_P(EqualityMatrixTest, AnswersAreThoseOfTheModelInOneProcess) {
  const ProcessCluster cluster({.model = kChip, .worker_flags = Flags({})});
  for (const Question& question : Questions(GetParam())) {
    SCOPED_TRACE(question.name);
    const AloneAnswer alone =
        AnswerAlone(kChip, question.request,
                    {.kv = {.page_tokens = 8, .dtype = DType::kBFloat16}, .positions_max = 1024});
    AnswerStream stream(cluster.gateway_address(), question.request, kTimeout);
    const StreamedAnswer& answer = stream.Finish();
    EXPECT_OK(answer.status);
    EXPECT_EQ(answer.text, alone.reply.text);
    EXPECT_EQ(answer.output_tokens, alone.ids.size());
    EXPECT_EQ(answer.log_probabilities, alone.log_probabilities);
    std::string calls;
    for (const ParsedToolCall& call : alone.reply.tool_calls) calls += call.name + call.arguments;
    EXPECT_EQ(answer.calls, calls);
  }
}

// Pages for one sequence of the whole context, and beginnings that are given up again and again.
TEST_P(EqualityMatrixTest, AnswersAreTheSameWithPagesForFew) {
  std::vector<Question> questions = Questions(GetParam());
  for (Question& question : questions) {
    question.request.set_ignore_stop_tokens(true);
    question.request.set_max_output_tokens(200);
  }
  ProcessCluster plain({.model = kChip, .worker_flags = Flags({})});
  const std::vector<std::string> expected = AskAlone(plain, questions);
  for (const std::vector<std::string>& drafts : kDrafts) {
    SCOPED_TRACE(absl::StrJoin(drafts, " "));
    ProcessCluster cluster({.model = kChip,
                            .worker_flags = Flags({"--kv-memory-mib", "3"}),
                            .prefill_flags = {"--prefix-cache-share", "0.3"},
                            .decode_flags = drafts});
    for (int round = 0; round < 3; ++round) {
      EXPECT_EQ(AskTogether(cluster, round == 1 ? Local(questions) : questions), expected);
    }
    EXPECT_GT(cluster.PrefillMetric(0, "cleave_prefix_cache_evictions_total"), 0);
    EXPECT_GT(cluster.DecodeMetric(0, "cleave_decode_preemptions_total"), 0);
    ProcessCluster::WaitUntilEmpty(cluster.prefill_address(0));
    ProcessCluster::WaitUntilEmpty(cluster.decode_address(0));
  }
}

// The reference kernels are slow enough to be interrupted.
TEST_P(EqualityMatrixTest, AnswersAreTheSameAfterADeath) {
  std::vector<Question> questions = Questions(GetParam());
  for (Question& question : questions) {
    question.request.set_ignore_stop_tokens(true);
    question.request.set_max_output_tokens(80);
  }
  std::vector<std::string> expected;
  for (const std::vector<std::string>& drafts : {kDrafts.front(), kDrafts.back()}) {
    SCOPED_TRACE(absl::StrJoin(drafts, " "));
    ProcessCluster cluster({.model = kChip,
                            .decode_workers = 2,
                            .worker_flags = Flags({"--kernels", "reference"}),
                            .decode_flags = drafts});
    if (expected.empty()) expected = AskAlone(cluster, questions);
    const Streams streams = Ask(cluster, questions);
    for (size_t i = 0; i < 3; ++i) {                          // others are still being computed
      ASSERT_TRUE(streams[i]->Next() && streams[i]->Next());  // Started, and the first token
    }
    ProcessCluster::Kill(cluster.decode(0));
    EXPECT_EQ(Finish(streams), expected);
    uint32_t replays = 0;
    for (const auto& stream : streams) replays += stream->answer().summary.replays();
    EXPECT_GT(replays, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Sampled, EqualityMatrixTest, ::testing::Bool());

}  // namespace
}  // namespace cleave::testing
