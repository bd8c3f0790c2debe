// A prefill and a decode engine in one process, joined by the real KV link over loopback: the
// tokens are those of the model run alone, whatever the chunks, and the bytes are those of the
// formula.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "decode/decode_engine.h"
#include "decode/decode_link.h"
#include "engine/worker_state.h"
#include "prefill/media_preparer.h"
#include "prefill/prefill_engine.h"
#include "prefill/prefill_link.h"
#include "runtime/rpc/server.h"
#include "tests/support/model_runner.h"
#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

using testing::HostRows;
using testing::ModelRunner;

const char kModel[] = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny";
constexpr int kPageTokens = 8;
constexpr absl::Duration kPatience = absl::Seconds(60);

// What the gateway would hear about one request.
class Answer final : public PrefillReplies, public DecodeReplies {
 public:
  void OnFirstToken(RequestKey, RequestEpoch, const TokenChoice& token, FinishCause finish,
                    const PrefillTimings&) override {
    static std::atomic<int> firsts{0};
    std::lock_guard lock(mutex_);
    first_ = token.id;
    rank_ = ++firsts;
    if (finish != FinishCause::kNone) finished_ = true;
    changed_.notify_all();
  }
  void OnEnded(RequestKey, RequestEpoch, const absl::Status& status, int64_t kv_bytes) override {
    std::lock_guard lock(mutex_);
    if (!status.ok()) failure_ = status;
    kv_bytes_ = kv_bytes;
    prefill_ended_ = true;
    changed_.notify_all();
  }
  void OnTicket(RequestKey, TransferId transfer) override {
    std::lock_guard lock(mutex_);
    ticket_ = transfer.ticket;
    changed_.notify_all();
  }
  void OnStep(absl::Span<const StepTokens> sequences) override {
    std::lock_guard lock(mutex_);
    for (const StepTokens& step : sequences) {
      rest_.insert(rest_.end(), step.tokens.begin(), step.tokens.end());
      if (step.finish != FinishCause::kNone) finished_ = true;
    }
    changed_.notify_all();
  }
  void OnEnded(RequestKey, RequestEpoch, const absl::Status& status) override {
    std::lock_guard lock(mutex_);
    failure_ = status;
    changed_.notify_all();
  }

  Ticket WaitForTicket() {
    std::unique_lock lock(mutex_);
    Wait(lock, [this] { return ticket_.has_value() || !failure_.ok(); });
    return ticket_.value_or(Ticket{});
  }
  std::vector<int32_t> WaitForTokens() {
    std::unique_lock lock(mutex_);
    Wait(lock, [this] { return (finished_ && prefill_ended_) || !failure_.ok(); });
    EXPECT_OK(failure_);
    std::vector<int32_t> tokens{first_};
    tokens.insert(tokens.end(), rest_.begin(), rest_.end());
    return tokens;
  }
  // A smaller one had its first token earlier.
  int rank() {
    std::lock_guard lock(mutex_);
    return rank_;
  }
  int64_t kv_bytes() {
    std::lock_guard lock(mutex_);
    return kv_bytes_;
  }

 private:
  template <typename Condition>
  void Wait(std::unique_lock<std::mutex>& lock, Condition condition) {
    EXPECT_TRUE(changed_.wait_for(lock, absl::ToChronoSeconds(kPatience), condition));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Ticket> ticket_;
  int32_t first_ = -1;
  int rank_ = 0;
  std::vector<int32_t> rest_;
  int64_t kv_bytes_ = 0;
  bool prefill_ended_ = false;
  bool finished_ = false;
  absl::Status failure_;
};

// Both workers, with nothing between them but the link.
class EnginePair {
 public:
  explicit EnginePair(int64_t chunk_tokens, DType kv_dtype = DType::kFloat32,
                      int64_t kv_bytes_max = int64_t{64} << 20) {
    ModelHostOptions options{.folder = kModel,
                             .kv = {.page_tokens = kPageTokens, .dtype = kv_dtype},
                             .kv_bytes_max = kv_bytes_max,
                             .context_tokens_max = 512,
                             .poison_free_pages = true};
    prefill_host_ = *ModelHost::Load(options);
    options.step_rows_max = options.step_outputs_max = options.step_sequences_max = 16;
    decode_host_ = *ModelHost::Load(options);
    const LinkIdentity identity =
        MakeLinkIdentity(MakeWorkerIdentity(cluster::v1::WORKER_ROLE_DECODE, "d", *decode_host_));
    decode_link_ =
        std::make_unique<DecodeLink>(ReceiverLinksOptions{.identity = identity,
                                                          .incarnation = Incarnation{1},
                                                          .shape = decode_host_->layout().shape()},
                                     clock_, decode_metrics_.kvlink);
    decode_step_ = *DecodeStep::Create(*decode_host_, clock_, {});
    decode_ =
        std::make_unique<DecodeEngine>(*decode_host_, *decode_step_, *decode_link_, clock_,
                                       decode_metrics_, DecodeEngineOptions{.sequences_max = 16});
    decode_link_->Attach(*decode_);
    server_ = *RpcServer::Start(
        {.address = "127.0.0.1:0", .message_bytes_max = GrpcLinkServer::MessageBytesMax({})},
        {&decode_link_->server().service()});
    prefill_link_ = std::make_unique<PrefillLink>(
        SenderLinksOptions{.identity = identity,
                           .incarnation = Incarnation{2},
                           .shape = prefill_host_->layout().shape()},
        grpc::InsecureChannelCredentials(), clock_, prefill_metrics_.kvlink);
    prefill_ =
        std::make_unique<PrefillEngine>(*prefill_host_, *prefill_link_, clock_, prefill_metrics_,
                                        PrefillEngineOptions{.chunk_tokens = chunk_tokens});
    prefill_link_->Attach(*prefill_);
  }

  ~EnginePair() {
    prefill_link_->client().Shutdown();
    decode_link_->server().Shutdown();
    server_->Shutdown(absl::ZeroDuration());
    prefill_.reset();
    decode_.reset();
    // Every page has come home.
    for (ModelHost* host : {prefill_host_.get(), decode_host_.get()}) {
      EXPECT_EQ(host->pools().full.num_free(), host->pools().full.num_pages());
      EXPECT_EQ(host->pools().sliding.num_free(), host->pools().sliding.num_pages());
    }
  }

  // Ends the link, and says what its two ends have counted.
  std::pair<int64_t, int64_t> BytesSentAndReceived() {
    prefill_link_->client().Shutdown();
    decode_link_->server().Shutdown();
    return {static_cast<int64_t>(prefill_metrics_.kvlink.bytes_total.Value()),
            static_cast<int64_t>(decode_metrics_.kvlink.bytes_total.Value())};
  }

  void Ask(const SequenceRequest& request, std::vector<PreparedMedia> media,
           const std::shared_ptr<Answer>& answer) {
    const RequestKey key{SessionId{1}, ++requests_};
    decode_->Submit({.key = key, .epoch = RequestEpoch{1}, .request = request, .replies = answer});
    const Ticket ticket = answer->WaitForTicket();
    ASSERT_TRUE(prefill_->Submit({.key = key,
                                  .request = request,
                                  .transfer = {ticket, RequestEpoch{1}},
                                  .decode_address = absl::StrCat("127.0.0.1:", server_->port()),
                                  .replies = answer,
                                  .accepted = clock_.Now(),
                                  .media = std::move(media)}));
  }

  const KvShape shape() const { return decode_host_->layout().shape(); }

 private:
  RealClock clock_;
  prometheus::Registry registry_;
  PrefillMetrics prefill_metrics_{registry_};
  prometheus::Registry decode_registry_;
  DecodeMetrics decode_metrics_{decode_registry_};
  std::unique_ptr<ModelHost> prefill_host_, decode_host_;
  std::unique_ptr<DecodeLink> decode_link_;
  std::unique_ptr<DecodeStep> decode_step_;
  std::unique_ptr<DecodeEngine> decode_;
  std::unique_ptr<PrefillLink> prefill_link_;
  std::unique_ptr<PrefillEngine> prefill_;
  std::unique_ptr<RpcServer> server_;
  uint64_t requests_ = 0;
};

// A prompt with its media, and what the model run alone, whole, answers.
struct Prompt {
  std::string name;
  SequenceRequest request;
  std::vector<PreparedMedia> media;
  std::vector<int32_t> expected;
};

ImageTiles SomePicture(int rows, int columns) {
  ImageTiles image{.rows = rows, .columns = columns};
  image.tiles.resize(static_cast<size_t>(image.count()) * kTileBytes);
  for (size_t i = 0; i < image.tiles.size(); ++i) {
    image.tiles[i] = static_cast<uint8_t>(i * 2654435761u >> 24);
  }
  return image;
}

AudioFrames SomeSound(int frames) {
  AudioFrames sound;
  for (int i = 0; i < frames * kAudioFrameSamples; ++i) {
    sound.frames.push_back(static_cast<float>(std::sin(i * 0.05) * 0.3));
  }
  return sound;
}

// Builds prompts from parts, and answers them with the model alone.
class PromptMaker {
 public:
  explicit PromptMaker(DType kv_dtype) {
    runner_ = *ModelRunner::Load(
        kModel, {.kv = {.page_tokens = kPageTokens, .dtype = kv_dtype}, .positions_max = 512});
  }

  Prompt Make(const std::string& name, const std::vector<int>& parts) {
    Prompt prompt{.name = name};
    const ModelConfig& config = runner_->config();
    SequenceRequest& request = prompt.request;
    request.request_id = name;
    request.prompt_ids.push_back(config.tokens.bos);
    for (const int part : parts) {
      if (part > 0) AddText(part, request);
      if (part == kPicture) AddPicture(prompt);
      if (part == kSound) AddSound(prompt);
    }
    request.stop_ids = config.generation.stop_ids;
    request.output_tokens_max = 24;
    prompt.expected = RunAlone(prompt);
    return prompt;
  }

  static constexpr int kPicture = -1;
  static constexpr int kSound = -2;

 private:
  void AddText(int tokens, SequenceRequest& request) {
    for (int i = 0; i < tokens; ++i) request.prompt_ids.push_back(300 + (next_ = next_ * 37 % 401));
  }
  void AddSoft(SoftKind kind, int32_t begin, int32_t soft, int32_t end, int64_t tokens,
               SequenceRequest& request) {
    request.prompt_ids.push_back(begin);
    request.media.push_back(
        {.kind = kind, .first_position = request.num_positions(), .tokens = tokens});
    request.prompt_ids.insert(request.prompt_ids.end(), static_cast<size_t>(tokens), soft);
    request.prompt_ids.push_back(end);
  }
  void AddPicture(Prompt& prompt) {
    const ModelTokens& ids = runner_->config().tokens;
    prompt.media.push_back({.image = SomePicture(4, 5)});
    AddSoft(SoftKind::kImage, ids.image_begin, ids.image_soft, ids.image_end, 20, prompt.request);
  }
  void AddSound(Prompt& prompt) {
    const ModelTokens& ids = runner_->config().tokens;
    prompt.media.push_back({.audio = SomeSound(11)});
    AddSoft(SoftKind::kAudio, ids.audio_begin, ids.audio_soft, ids.audio_end, 11, prompt.request);
  }

  std::vector<int32_t> RunAlone(const Prompt& prompt) {
    std::vector<testing::RunnerMedia> media;
    for (size_t i = 0; i < prompt.media.size(); ++i) {
      const SoftSpan& span = prompt.request.media[i];
      const bool picture = span.kind == SoftKind::kImage;
      const ImageTiles& image = prompt.media[i].image;
      media.push_back({span.first_position, picture,
                       picture
                           ? *runner_->embedder().EmbedImage(image.tiles, image.rows, image.columns)
                           : *runner_->embedder().EmbedAudio(prompt.media[i].audio.frames)});
    }
    runner_->Reset();
    runner_->Forward(prompt.request.prompt_ids, media, false);
    std::vector<int32_t> tokens;
    while (true) {
      const HostRows logits = runner_->Fetch(runner_->transformer().logits());
      tokens.push_back(runner_->ArgMax(logits.values));
      const int64_t count = static_cast<int64_t>(tokens.size());
      if (CheckFinish(prompt.request, tokens.back(), count, 512) != FinishCause::kNone) {
        return tokens;
      }
      runner_->Forward(absl::MakeConstSpan(tokens).last(1), {}, false);
    }
  }

  std::unique_ptr<ModelRunner> runner_;
  int next_ = 1;
};

std::vector<Prompt> Prompts(DType kv_dtype) {
  PromptMaker maker(kv_dtype);
  constexpr int kPicture = PromptMaker::kPicture, kSound = PromptMaker::kSound;
  return {maker.Make("one token", {}), maker.Make("text", {70}),
          maker.Make("picture", {5, kPicture, 9}), maker.Make("sound", {3, kSound, 4}),
          maker.Make("mixed", {12, kPicture, 6, kSound, 20, kPicture, 2})};
}

// A small prompt that would fit must not overtake, again and again, a large one that waits for
// pages.
TEST(PrefillOrderTest, APromptThatWaitsForPagesIsNotOvertaken) {
  constexpr int64_t kKvBytes = int64_t{1} << 20;   // 85 pages of 8 tokens
  EnginePair pair(16, DType::kFloat32, kKvBytes);  // the last chunk of "first" leaves rows
  PromptMaker maker(DType::kFloat32);
  std::vector<std::shared_ptr<Answer>> answers;
  const std::vector<Prompt> prompts = {
      maker.Make("first", {300}), maker.Make("large", {450}),
      maker.Make("small", {1})};  // fits into the rows that "first" leaves
  for (const Prompt& prompt : prompts) {
    answers.push_back(std::make_shared<Answer>());
    pair.Ask(prompt.request, prompt.media, answers.back());
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i]->WaitForTokens(), prompts[i].expected) << prompts[i].name;
  }
  EXPECT_LT(answers[1]->rank(), answers[2]->rank());
}

class EnginePairTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(EnginePairTest, TokensAreThoseOfTheModelRunAlone) {
  EnginePair pair(GetParam());
  int64_t bytes = 0;
  for (const Prompt& prompt : Prompts(DType::kFloat32)) {
    SCOPED_TRACE(prompt.name);
    const auto answer = std::make_shared<Answer>();
    pair.Ask(prompt.request, prompt.media, answer);
    EXPECT_EQ(answer->WaitForTokens(), prompt.expected);
    EXPECT_EQ(answer->kv_bytes(),
              MakeTransferPlan(pair.shape(), prompt.request.num_positions()).total_bytes);
    bytes += answer->kv_bytes();
  }
  EXPECT_EQ(pair.BytesSentAndReceived(), std::make_pair(bytes, bytes));
}

TEST_P(EnginePairTest, TokensAreTheSameInCompany) {
  EnginePair pair(GetParam(), DType::kBFloat16);
  const std::vector<Prompt> prompts = Prompts(DType::kBFloat16);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int round = 0; round < 3; ++round) {
    for (const Prompt& prompt : prompts) {
      answers.push_back(std::make_shared<Answer>());
      pair.Ask(prompt.request, prompt.media, answers.back());
    }
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    const Prompt& prompt = prompts[i % prompts.size()];
    EXPECT_EQ(answers[i]->WaitForTokens(), prompt.expected) << prompt.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Chunks, EnginePairTest, ::testing::Values(1, 7, 64, 1120));

// The formula of the hand-over, written out: all pages of the full layers, and of the sliding
// layers the pages of the last window - 1 positions.
TEST(EnginePairFormulaTest, BytesOnTheWireAreTheFormula) {
  EnginePair pair(64, DType::kBFloat16);
  const Prompt prompt = PromptMaker(DType::kBFloat16).Make("text", {100});
  const auto answer = std::make_shared<Answer>();
  pair.Ask(prompt.request, {}, answer);
  answer->WaitForTokens();
  // 101 positions, window 32: pages of 8 that hold positions 0 to 100, and 70 to 100. Bfloat16;
  // full layer: 1 head of 32 with 8 rotated dimensions stored twice, sliding layers: 5 with 2 heads
  // of 16.
  constexpr int64_t kFullBytes = 13 * 1 * (1 * 8 * (32 + 8) * 2);
  constexpr int64_t kSlidingBytes = 5 * 5 * (2 * 2 * 8 * 16 * 2);
  constexpr int64_t kBytes = kFullBytes + kSlidingBytes;
  EXPECT_EQ(answer->kv_bytes(), kBytes);
  EXPECT_EQ(pair.BytesSentAndReceived(), std::make_pair(kBytes, kBytes));
}

}  // namespace
}  // namespace cleave
