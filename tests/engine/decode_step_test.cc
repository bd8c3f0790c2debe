// The tokens of a step that drafts are those of decoding one at a time: greedy and sampled, alone
// and in company, with any number of drafts.
#include "engine/decode_step.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>

#include "absl/algorithm/container.h"
#include "model/safetensors.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

const std::string kCheckpoints = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints";
constexpr int64_t kSequences = 8;
constexpr float kHot = 30;

ModelHostOptions Options(DType activations, const std::string& isa) {
  return {.folder = kCheckpoints + "/tiny",
          .drafter_folder = kCheckpoints + "/tiny_assistant",
          .kernels = {.backend = isa == "reference" ? "reference" : "cpu",
                      .isa = isa == "reference" ? "auto" : isa,
                      .threads = 1},
          .activations = activations,
          .kv = {.page_tokens = 8},
          .kv_bytes_max = 32 << 20,
          .context_tokens_max = 400,
          .step_rows_max = 300,
          .step_outputs_max = 64,
          .step_sequences_max = kSequences,
          .poison_free_pages = true};
}

SequenceRequest Request(int number, const SamplingParameters& sampling, const ModelConfig& config) {
  SequenceRequest request;
  request.prompt_ids.push_back(config.tokens.bos);
  for (int i = 0; i < 20 + number * 31; ++i) {
    request.prompt_ids.push_back(300 + (i + 3) * (number + 37) % 401);
  }
  request.sampling = sampling;
  request.sampling.seed = static_cast<uint64_t>(7 + number);
  request.stop_ids = config.generation.stop_ids;
  request.output_tokens_max = 40;
  if (number % 2 == 1) {
    request.rules = {.logit_bias = {{301, 2}, {302, -3}},
                     .repetition_penalty = 1.3f,
                     .presence_penalty = 0.2f,
                     .frequency_penalty = 0.4f,
                     .output_tokens_min = 12};
    request.log_probabilities = 3;
  }
  return request;
}

// Prompts computed, and generated for by a DecodeStep or, to compare, one token after the other.
class Worker {
 public:
  explicit Worker(const ModelHostOptions& options) : host_(*ModelHost::Load(options)) {}

  const ModelConfig& config() const { return host_->config(); }
  ModelHost& host() { return *host_; }

  struct Answer {
    std::vector<int32_t> tokens;
    std::vector<float>
        log_probabilities;  // of all tokens but the first: chosen, then the likeliest

    void Add(const PlaceLogProbabilities& place) {
      log_probabilities.push_back(place.chosen);
      for (const auto& [id, value] : place.top) log_probabilities.push_back(value);
    }
    friend bool operator==(const Answer&, const Answer&) = default;
    friend void PrintTo(const Answer& answer, std::ostream* out) {
      *out << ::testing::PrintToString(answer.tokens) << " "
           << ::testing::PrintToString(answer.log_probabilities);
    }
  };

  Answer OneByOne(const SequenceRequest& request) {
    BlockTable table(host_->pools());
    Answer answer{.tokens = {Prefill(request, table)}};
    LogitRules rules(request);
    while (CheckFinish(request, answer.tokens.back(), int64_t(answer.tokens.size()),
                       host_->context_tokens_max()) == FinishCause::kNone) {
      rules.Push(answer.tokens.back());
      EXPECT_TRUE(table.Extend(1).ok());
      Compute(absl::MakeConstSpan(answer.tokens).last(1), table.num_tokens() - 1, table);
      const TokenChoice next = Draw(request, rules, table.num_tokens());
      answer.tokens.push_back(next.id);
      if (next.log_probabilities) answer.Add(*next.log_probabilities);
    }
    return answer;
  }

  // All requests together, the i-th from step 2i on. With `prompt_rows` their prompts are computed
  // by the steps themselves, in chunks of at most so many rows.
  std::vector<Answer> Decode(const std::vector<SequenceRequest>& requests,
                             const DraftOptions& options,
                             const std::function<void(const DecodeSequence&)>& after_step = nullptr,
                             int64_t prompt_rows = 0) {
    const auto step = *DecodeStep::Create(*host_, clock_, options, prompt_rows);
    std::vector<std::unique_ptr<DecodeSequence>> all;
    std::vector<Answer> answers(requests.size());
    for (int64_t number = 0;; ++number) {
      if (all.size() < requests.size() && number % 2 == 0) {
        all.push_back(std::make_unique<DecodeSequence>(host_->pools()));
        const SequenceRequest& request = requests[all.size() - 1];
        if (prompt_rows > 0) step->JoinPrompt(*all.back(), request);
        if (prompt_rows == 0) Start(request, *step, *all.back());
      }
      std::vector<DecodeSequence*> running;
      PromptChunk chunk;
      for (size_t i = 0; i < all.size(); ++i) {
        if (all[i]->finish != FinishCause::kNone) continue;
        if (all[i]->output.empty()) {
          if (chunk.generation == nullptr) chunk = NextChunk(requests[i], *all[i], prompt_rows);
          continue;
        }
        EXPECT_TRUE(all[i]->table.Extend(1).ok());
        running.push_back(all[i].get());
      }
      const bool idle = running.empty() && chunk.generation == nullptr;
      if (idle && all.size() == requests.size()) break;
      if (idle) continue;
      std::vector<PageId> full, sliding;
      if (hoards_pages_) {
        full = TakeAll(host_->pools().full);
        sliding = TakeAll(host_->pools().sliding);
      }
      const DecodeStepSummary summary =
          step->Run(running, chunk.generation == nullptr ? nullptr : &chunk);
      host_->pools().full.Release(full);
      host_->pools().sliding.Release(sliding);
      int64_t new_tokens = 0;
      if (chunk.generation != nullptr) {
        running.push_back(chunk.generation);
        chunk.generation->log_probabilities.clear();  // of the first token: not compared
      }
      for (DecodeSequence* generation : running) {
        new_tokens += generation->new_tokens;
        if (after_step) after_step(*generation);
        if (generation->finish == FinishCause::kNone) continue;
        step->Leave(*generation);
        generation->table.Release();
      }
      EXPECT_EQ(summary.new_tokens, new_tokens);
      for (size_t i = 0; i < kDraftsMax; ++i) {
        EXPECT_LE(summary.accepted[i], summary.drafted[i]);
        total_.drafted[i] += summary.drafted[i];
        total_.accepted[i] += summary.accepted[i];
      }
      for (size_t i = 0; i < all.size(); ++i) {
        for (const PlaceLogProbabilities& place : all[i]->log_probabilities) answers[i].Add(place);
        all[i]->log_probabilities.clear();
      }
    }
    for (size_t i = 0; i < all.size(); ++i) answers[i].tokens = all[i]->output;
    return answers;
  }

  // From now on no page is free while a step runs.
  void set_hoards_pages() { hoards_pages_ = true; }

  // Over everything decoded.
  const DecodeStepSummary& total() const { return total_; }

 private:
  void Start(const SequenceRequest& request, DecodeStep& step, DecodeSequence& generation) {
    generation.output = {Prefill(request, generation.table)};
    step.Join(generation, request, host_->FetchFinalHidden(0));
    generation.finish =
        CheckFinish(request, generation.output.back(), 1, host_->context_tokens_max());
  }

  static PromptChunk NextChunk(const SequenceRequest& request, DecodeSequence& generation,
                               int64_t rows_max) {
    const int64_t left = request.num_positions() - generation.table.num_tokens();
    const int64_t rows = std::min(left, rows_max);
    EXPECT_TRUE(generation.table.Extend(rows).ok());
    return {&generation, rows};
  }

  static std::vector<PageId> TakeAll(PageAllocator& pool) {
    std::vector<PageId> pages(static_cast<size_t>(pool.num_free()));
    EXPECT_TRUE(pool.Allocate(absl::MakeSpan(pages)).ok());
    return pages;
  }

  int32_t Prefill(const SequenceRequest& request, BlockTable& table) {
    EXPECT_TRUE(table.Extend(request.num_positions()).ok());
    Compute(request.prompt_ids, 0, table);
    return Draw(request, LogitRules(request), table.num_tokens()).id;
  }
  void Compute(absl::Span<const int32_t> ids, int64_t position, const BlockTable& table) {
    StepBatch batch(host_->config().tokens, host_->limits());
    batch.Add(ids, position, table, 1);
    host_->kernels().Fill(batch.batch(), host_->plan());
    host_->transformer().Forward(host_->plan(), {}, host_->kv_memory(), nullptr);
  }
  TokenChoice Draw(const SequenceRequest& request, const LogitRules& rules, int64_t position) {
    return ChooseToken(host_->FetchLogits(0), request, rules, position, host_->sampler());
  }

  RealClock clock_;
  std::unique_ptr<ModelHost> host_;
  DecodeStepSummary total_;
  bool hoards_pages_ = false;
};

const std::vector<SamplingParameters> kSamplings = {
    {.temperature = 0},
    {.temperature = 0.3f},
    {.temperature = 1, .top_k = 64, .top_p = 0.95f},
    {.temperature = 1.5f, .min_p = 0.02f},
    // So hot that only the noise counts, which drafter and target share: most drafts are right.
    {.temperature = kHot}};

class DecodeStepTest : public ::testing::TestWithParam<std::tuple<std::string, DType>> {};

TEST_P(DecodeStepTest, TokensAreThoseOfDecodingOneByOne) {
  const auto& [isa, activations] = GetParam();
  Worker worker(Options(activations, isa));
  for (const SamplingParameters& sampling : kSamplings) {
    if (isa == "reference" && sampling.temperature != kHot) continue;  // it is slow
    SCOPED_TRACE(sampling.temperature);
    std::vector<SequenceRequest> requests;
    std::vector<Worker::Answer> expected;
    for (int i = 0; i < kSequences; ++i) {
      requests.push_back(Request(i, sampling, worker.config()));
      requests.back().output_tokens_max -= i;
      expected.push_back(worker.OneByOne(requests.back()));
    }
    for (const DraftOptions options :
         {DraftOptions{0, false}, DraftOptions{1, false}, DraftOptions{3, false},
          DraftOptions{8, false}, DraftOptions{6, true}}) {
      SCOPED_TRACE(options.drafts_max);
      EXPECT_EQ(worker.Decode({requests[2]}, options)[0], expected[2]);
      const auto answers = worker.Decode(requests, options);
      for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i], expected[i]) << i;
    }
  }
  int64_t rejected = 0;
  for (size_t place = 0; place < kDraftsMax; ++place) {
    EXPECT_GT(worker.total().accepted[place], 0) << place;
    rejected += worker.total().drafted[place] - worker.total().accepted[place];
  }
  EXPECT_GT(rejected, 0);
}

std::vector<std::string> Isas() {
  std::vector<std::string> isas = SupportedCpuIsas();
  isas.insert(isas.begin(), "reference");
  return isas;
}

// Prompts computed beside running sequences, in chunks of any size: the same tokens.
TEST_P(DecodeStepTest, TokensAreTheSameWithPromptsInTheSteps) {
  const auto& [isa, activations] = GetParam();
  Worker worker(Options(activations, isa));
  std::vector<SequenceRequest> requests;
  std::vector<Worker::Answer> expected;
  for (int i = 0; i < (isa == "reference" ? 2 : 5); ++i) {
    requests.push_back(Request(i, kSamplings[2], worker.config()));
    requests.back().output_tokens_max = 20;
    expected.push_back(worker.OneByOne(requests.back()));
  }
  for (const int64_t prompt_rows : {1, 7, 64}) {
    for (const int drafts : {0, 3}) {
      EXPECT_EQ(
          worker.Decode(requests, {.drafts_max = drafts, .adaptive = false}, nullptr, prompt_rows),
          expected)
          << prompt_rows << " rows, " << drafts << " drafts";
    }
  }
}

// Every look at it takes a while.
class TickingClock final : public Clock {
 public:
  absl::Time Now() const override { return now_ += tick; }
  absl::Duration tick = absl::Milliseconds(1);

 private:
  mutable absl::Time now_ = absl::UnixEpoch();
};

// Steps without drafts look at the clock twice, and twice more for each pass of the drafter.
class PromptRowsTest : public ::testing::Test {
 protected:
  void Start(int drafts) {
    step_ = *DecodeStep::Create(*host_, clock_, {.drafts_max = drafts, .adaptive = false}, 100);
    ASSERT_OK(running_.table.Extend(3));
    running_.output = {305};
    step_->Join(running_, request_,
                std::string(static_cast<size_t>(host_->final_hidden_bytes()), '\0'));
    step_->JoinPrompt(prompt_, prompt_request_);
  }
  void TearDown() override {
    step_->Leave(running_);
    step_->Leave(prompt_);
  }
  void Step(absl::Duration tick, int64_t prompt_rows, bool alone = false) {
    clock_.tick = tick;
    std::vector<DecodeSequence*> sequences;
    if (!alone) {
      ASSERT_OK(running_.table.Extend(1));
      sequences.push_back(&running_);
    }
    ASSERT_OK(prompt_.table.Extend(prompt_rows));
    const PromptChunk chunk{&prompt_, prompt_rows};
    step_->Run(sequences, prompt_rows > 0 ? &chunk : nullptr);
  }
  static SequenceRequest Prompt(size_t tokens) {
    SequenceRequest request;
    request.prompt_ids.assign(tokens, 300);
    request.output_tokens_max = 100;
    return request;
  }

  const std::unique_ptr<ModelHost> host_ = *ModelHost::Load(Options(DType::kFloat32, "auto"));
  const SequenceRequest request_ = Prompt(3), prompt_request_ = Prompt(200);
  TickingClock clock_;
  DecodeSequence running_{host_->pools()}, prompt_{host_->pools()};
  std::unique_ptr<DecodeStep> step_;
};

TEST_F(PromptRowsTest, ThePassIsNotBookedOnTheRows) {
  Start(0);
  Step(absl::Seconds(1), 10, /*alone=*/true);
  EXPECT_EQ(step_->PromptRows(1, 0.005), 16) << "what a pass costs is not known yet";
  Step(absl::Milliseconds(2), 0);
  Step(absl::Milliseconds(3), 10);  // a tenth of a millisecond a row
  EXPECT_EQ(step_->PromptRows(1, 0.00505), 30);
}

TEST_F(PromptRowsTest, DraftsCountAsPartOfTheStep) {
  Start(3);
  Step(absl::Milliseconds(1), 0);      // seven, of which three are the passes
  Step(absl::Microseconds(1250), 10);  // the other four are five now
  EXPECT_EQ(step_->PromptRows(1, 0.01005), 30);
}

INSTANTIATE_TEST_SUITE_P(Isas, DecodeStepTest,
                         ::testing::Combine(::testing::ValuesIn(Isas()),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)),
                         [](const auto& of) {
                           return std::get<0>(of.param) + "_" +
                                  std::string(DTypeName(std::get<1>(of.param)));
                         });

// Rules that change what may come next in the middle of a round: a thought that is ended by force,
// one that the prompt ends in, another for which nothing is left, a stop id that is too early.
TEST(DecodeStepRulesTest, TokensAreTheSameWithAThinkingBudget) {
  Worker worker(Options(DType::kFloat32, SupportedCpuIsas().empty() ? "reference" : "auto"));
  constexpr int32_t kThoughtEnd = 311;
  for (const SamplingParameters& sampling : kSamplings) {
    SCOPED_TRACE(sampling.temperature);
    std::vector<SequenceRequest> requests;
    std::vector<Worker::Answer> expected;
    for (int i = 0; i < 4; ++i) {
      SequenceRequest request = Request(i, sampling, worker.config());
      request.stop_ids.clear();
      const std::vector<int32_t> unruled = worker.OneByOne(request).tokens;
      request.rules.thought_begin_id = unruled[2];  // so that it comes
      request.rules.thought_end_id = kThoughtEnd;
      request.rules.thought_tokens_max = i * 3;
      request.rules.starts_in_thought = i >= 2;
      request.rules.output_tokens_min = 15;
      request.stop_ids = {unruled[7]};
      if (i > 0) request.log_probabilities = kTopLogProbabilitiesMax;
      requests.push_back(request);
      expected.push_back(worker.OneByOne(request));
      EXPECT_TRUE(absl::c_linear_search(expected.back().tokens, kThoughtEnd)) << i;
      EXPECT_GE(expected.back().tokens.size(), 15u) << i;
    }
    for (int drafts = 0; drafts <= 6; ++drafts) {
      EXPECT_EQ(worker.Decode(requests, {drafts, false}), expected) << drafts;
    }
    EXPECT_EQ(worker.Decode(requests, {6, true}), expected);
    EXPECT_EQ(worker.Decode(requests, {3, false}, nullptr, 16), expected);
  }
}

// A whole answer of accepted drafts ends where one token at a time ends: at a stop id inside a
// round, at the last token, at the end of the context.
TEST(DecodeStepFinishTest, DraftsNeverReachBeyondTheEnd) {
  Worker worker(Options(DType::kFloat32, SupportedCpuIsas().empty() ? "reference" : "auto"));
  for (int number = 0; number < 4; ++number) {
    SequenceRequest request = Request(number, {.temperature = kHot}, worker.config());
    request.stop_ids.clear();
    const std::vector<int32_t> tokens = worker.OneByOne(request).tokens;
    for (const int stop_at : {1, 2, 5, 11, 17}) {
      SequenceRequest with_stop = request;
      with_stop.stop_ids = {tokens[static_cast<size_t>(stop_at)]};
      EXPECT_EQ(worker.Decode({with_stop}, {8, false})[0], worker.OneByOne(with_stop));
      SequenceRequest shorter = request;
      shorter.rules.output_tokens_min = 0;
      shorter.output_tokens_max = stop_at;
      EXPECT_EQ(worker.Decode({shorter}, {8, false})[0], worker.OneByOne(shorter));
    }
  }
  SequenceRequest long_answer = Request(1, {.temperature = kHot}, worker.config());
  long_answer.output_tokens_max = 1000;
  long_answer.stop_ids.clear();
  const Worker::Answer answer = worker.OneByOne(long_answer);
  EXPECT_EQ(answer.tokens.size() + long_answer.prompt_ids.size(), 400u);
  EXPECT_EQ(worker.Decode({long_answer}, {8, false})[0], answer);
}

// The rounds of the reference's own assisted generation: the same drafts, of which the same number
// is accepted. Wrong positions or states of the drafter would cost acceptance and change no token.
TEST(DecodeStepGoldenTest, DraftsAndAcceptanceAreTheReferences) {
  const std::string folder = CLEAVE_SOURCE_DIR "/tests/golden/data/drafter";
  const SafetensorsFile tensors = *SafetensorsFile::Open(folder + "/draft_text_40.safetensors");
  const auto ids = tensors.Find("input_ids")->bytes;
  ModelHostOptions options = Options(DType::kFloat32, "reference");
  options.kv.dtype = DType::kFloat32;
  Worker worker(options);
  SequenceRequest request;
  request.prompt_ids.resize(ids.size() / sizeof(int32_t));
  std::memcpy(request.prompt_ids.data(), ids.data(), ids.size());
  request.output_tokens_max = 32;
  std::vector<std::vector<int32_t>> drafted;
  std::vector<int64_t> accepted;
  worker.Decode({request}, {4, false}, [&](const DecodeSequence& generation) {
    drafted.push_back(generation.drafts);
    accepted.push_back(generation.new_tokens - 1);
  });
  const std::string index = folder + "/index.json";
  const JsonDocument document = *JsonDocument::Parse(*ReadFile(index), index);
  const auto rounds = *document.root().Object("draft_text_40")->Member("rounds")->AsArray();
  ASSERT_EQ(drafted.size(), rounds.size());
  for (size_t i = 0; i < rounds.size(); ++i) {
    const std::vector<JsonValue> tokens = *rounds[i].Member("drafted")->AsArray();
    std::vector<int32_t> expected;
    expected.reserve(tokens.size());
    for (const JsonValue& token : tokens) {
      expected.push_back(static_cast<int32_t>(*token.AsInt()));
    }
    EXPECT_EQ(drafted[i], expected) << "round " << i;
    EXPECT_EQ(accepted[i], *rounds[i].Int("accepted")) << "round " << i;
  }
}

// Without pages for drafts there are no drafts, and the tokens are the same.
TEST(DecodeStepFinishTest, NoPagesForDraftsIsNoFailure) {
  Worker worker(Options(DType::kFloat32, "reference"));
  SequenceRequest request = Request(0, {.temperature = kHot}, worker.config());
  request.stop_ids.clear();
  const Worker::Answer expected = worker.OneByOne(request);
  worker.set_hoards_pages();
  int64_t rounds = 0, rounds_without = 0;
  EXPECT_EQ(worker.Decode({request}, {8, false},
                          [&](const DecodeSequence& generation) {
                            ++rounds;
                            if (generation.drafts.empty()) ++rounds_without;
                          })[0],
            expected);
  EXPECT_GT(rounds_without, 1);  // the last one has no room for a draft anyway
  EXPECT_LT(rounds_without, rounds);
}

}  // namespace
}  // namespace cleave
