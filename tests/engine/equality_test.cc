// Same bits however computed, on every ISA of this machine: the logits of every position of a text,
// picture, sound, video and mixed prompt are equal whether it is computed whole, in chunks, in the
// company of strangers, position by position or a few at a time as drafts are verified, on pages of
// any size and on any number of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/model_host.h"
#include "engine/sequence.h"
#include "engine/step_batch.h"
#include "prefill/chunking.h"

namespace cleave {
namespace {

const std::string kModel = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny";
constexpr int64_t kRowsMax = 400;

// A prompt: ids, with pictures and sounds of made-up content.
class Prompt {
 public:
  Prompt(std::string name, const ModelTokens& tokens) : name_(std::move(name)), tokens_(tokens) {
    ids_.push_back(tokens.bos);
  }
  Prompt& Text(int count) {
    for (int i = 0; i < count; ++i) ids_.push_back(300 + (next_ = next_ * 37 % 401));
    return *this;
  }
  Prompt& Picture(int rows, int columns) {
    shapes_.push_back({rows, columns});
    return Soft(SoftKind::kImage, tokens_.image_begin, tokens_.image_soft, tokens_.image_end,
                rows * columns);
  }
  Prompt& Sound(int frames) {
    shapes_.push_back({frames, 1});
    return Soft(SoftKind::kAudio, tokens_.audio_begin, tokens_.audio_soft, tokens_.audio_end,
                frames);
  }
  // Frames with their times between them.
  Prompt& Video(int frames) {
    for (int i = 0; i < frames; ++i) {
      Text(6);
      shapes_.push_back({2, 3});
      Soft(SoftKind::kVideoFrame, tokens_.image_begin, tokens_.video_soft, tokens_.image_end, 6);
    }
    return *this;
  }

  const std::string& name() const { return name_; }
  const std::vector<int32_t>& ids() const { return ids_; }
  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  const std::vector<SoftSpan>& media() const { return media_; }
  std::vector<SoftEmbeddings> Embed(MediaEmbedder& embedder) const {
    std::vector<SoftEmbeddings> embedded;
    for (size_t i = 0; i < media_.size(); ++i) {
      const auto [rows, columns] = shapes_[i];
      if (IsPicture(media_[i].kind)) {
        std::vector<uint8_t> tiles(static_cast<size_t>(rows * columns) * 48 * 48 * 3);
        for (size_t k = 0; k < tiles.size(); ++k) tiles[k] = static_cast<uint8_t>(k * (i + 7) / 13);
        embedded.push_back(*embedder.EmbedImage(
            tiles, rows, columns,
            media_[i].kind == SoftKind::kImage ? PixelScale::kImage : PixelScale::kVideoFrame));
      } else {
        std::vector<float> samples(static_cast<size_t>(rows) * 640);
        for (size_t k = 0; k < samples.size(); ++k) {
          samples[k] = static_cast<float>(std::sin(0.05 * static_cast<double>(k)) * 0.3);
        }
        embedded.push_back(*embedder.EmbedAudio(samples));
      }
    }
    return embedded;
  }

 private:
  Prompt& Soft(SoftKind kind, int32_t begin, int32_t soft, int32_t end, int count) {
    ids_.push_back(begin);
    media_.push_back({.kind = kind, .first_position = size(), .tokens = count});
    ids_.insert(ids_.end(), static_cast<size_t>(count), soft);
    ids_.push_back(end);
    return *this;
  }

  std::string name_;
  ModelTokens tokens_;
  int next_ = 1;
  std::vector<int32_t> ids_;
  std::vector<SoftSpan> media_;
  std::vector<std::pair<int, int>> shapes_;
};

// Computes prompts on one model, a few rows of some sequences a step, as the engines do.
class Model {
 public:
  explicit Model(ModelHostOptions options) {
    options.folder = kModel;
    options.kv_bytes_max = 32 << 20;
    options.context_tokens_max = 1000;
    options.step_rows_max = kRowsMax;
    options.step_outputs_max = kRowsMax;
    options.poison_free_pages = true;
    host_ = *ModelHost::Load(options);
    batch_ = std::make_unique<StepBatch>(host_->config().tokens, host_->limits());
  }

  std::vector<Prompt> Prompts() const {
    const ModelTokens& tokens = host_->config().tokens;
    return {Prompt("text", tokens).Text(90),
            Prompt("picture", tokens).Text(5).Picture(4, 10).Text(9),
            Prompt("sound", tokens).Text(3).Sound(41).Text(20),
            Prompt("video", tokens).Text(2).Video(5).Text(8),
            Prompt("mixed", tokens).Text(12).Picture(3, 3).Text(6).Sound(9).Video(2).Text(40)};
  }

  // The logits of every position of `prompt`, `rows` positions a step where no picture stands in
  // the way. A stranger, if there is one, has a chunk of its own before ours in every step.
  std::vector<float> Logits(const Prompt& prompt, int64_t rows, const Prompt* stranger = nullptr) {
    Run ours(*host_, prompt);
    std::unique_ptr<Run> theirs;
    std::vector<float> logits;
    while (ours.position < prompt.size()) {
      batch_->Clear();
      if (stranger != nullptr) {
        if (!theirs || theirs->position == stranger->size()) {
          theirs = std::make_unique<Run>(*host_, *stranger);
        }
        AddChunk(*theirs, 5, /*wants_logits=*/false);
      }
      AddChunk(ours, rows, /*wants_logits=*/true);
      host_->kernels().Fill(batch_->batch(), host_->plan());
      host_->transformer().Forward(host_->plan(), batch_->soft_rows(), host_->kv_memory(), nullptr);
      const TensorView computed = host_->transformer().logits();
      const auto* values = static_cast<const float*>(computed.data);
      logits.insert(logits.end(), values, values + computed.rows * computed.cols);
      ours.Drop(host_->config());
      if (theirs) theirs->Drop(host_->config());
    }
    return logits;
  }

 private:
  struct Run {
    Run(ModelHost& host, const Prompt& of)
        : prompt(of), embedded(of.Embed(host.embedder())), table(host.pools()) {}
    // Pages that no later row reads go back, and are poisoned.
    void Drop(const ModelConfig& config) {
      table.DropBefore(std::max<int64_t>(0, position - (config.sliding_window - 1)));
    }
    const Prompt& prompt;
    std::vector<SoftEmbeddings> embedded;
    BlockTable table;
    int64_t position = 0;
  };

  void AddChunk(Run& run, int64_t rows, bool wants_logits) {
    const Prompt& prompt = run.prompt;
    const int64_t begin = run.position;
    const int64_t end = ChunkEnd(prompt.media(), prompt.size(), begin, rows);
    ASSERT_TRUE(run.table.Extend(end - begin).ok());
    const auto ids = absl::MakeConstSpan(prompt.ids())
                         .subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    const int64_t row = batch_->Add(ids, begin, run.table, wants_logits ? end - begin : 0);
    for (size_t i = 0; i < prompt.media().size(); ++i) {
      const SoftSpan& span = prompt.media()[i];
      const int64_t first = std::max(span.first_position, begin);
      const int64_t last = std::min(span.end(), end);
      if (first >= last) continue;
      batch_->AddSoftRows(row + first - begin,
                          run.embedded[i].view().Rows(first - span.first_position, last - first));
      if (IsPicture(span.kind)) batch_->MarkPicture(row + first - begin, span);
    }
    run.position = end;
  }

  std::unique_ptr<ModelHost> host_;
  std::unique_ptr<StepBatch> batch_;
};

struct Arithmetic {
  std::string isa;
  DType activations;
  DType kv;
  KvForm form;
};

std::ostream& operator<<(std::ostream& out, const Arithmetic& a) {
  return out << a.isa << "_" << std::string(DTypeName(a.activations)) << "_"
             << std::string(DTypeName(a.kv)) << (a.form == KvForm::kPlain ? "_plain" : "_compact");
}

std::vector<Arithmetic> AllArithmetic() {
  std::vector<Arithmetic> all{{"reference", DType::kFloat32, DType::kBFloat16, KvForm::kCompact}};
  for (const std::string& isa : SupportedCpuIsas()) {
    all.push_back({isa, DType::kFloat32, DType::kFloat32, KvForm::kCompact});
    all.push_back({isa, DType::kFloat32, DType::kBFloat16, KvForm::kPlain});
    all.push_back({isa, DType::kBFloat16, DType::kBFloat16, KvForm::kCompact});
    all.push_back({isa, DType::kBFloat16, DType::kBFloat16, KvForm::kPlain});
  }
  return all;
}

class EqualityTest : public ::testing::TestWithParam<Arithmetic> {
 protected:
  static ModelHostOptions Options(int threads, int page_tokens) {
    const Arithmetic& a = GetParam();
    const bool reference = a.isa == "reference";
    return {.kernels = {.backend = reference ? "reference" : "cpu",
                        .isa = reference ? "auto" : a.isa,
                        .threads = threads},
            .activations = a.activations,
            .kv = {.page_tokens = page_tokens, .dtype = a.kv, .form = a.form}};
  }
};

INSTANTIATE_TEST_SUITE_P(Isas, EqualityTest, ::testing::ValuesIn(AllArithmetic()),
                         ::testing::PrintToStringParamName());

TEST_P(EqualityTest, InChunksInCompanyAndPositionByPosition) {
  Model model(Options(1, 8));
  const std::vector<Prompt> prompts = model.Prompts();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Prompt& prompt = prompts[i];
    const std::vector<float> whole = model.Logits(prompt, prompt.size());
    for (const float value : whole) ASSERT_FALSE(std::isnan(value)) << prompt.name();
    for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 13, 64}) {
      EXPECT_EQ(whole, model.Logits(prompt, rows)) << prompt.name() << " by " << rows;
    }
    for (const int64_t rows : {1, 5, 64}) {
      const Prompt& stranger = prompts[(i + 1) % prompts.size()];
      EXPECT_EQ(whole, model.Logits(prompt, rows, &stranger)) << prompt.name() << " by " << rows;
    }
  }
}

TEST_P(EqualityTest, OnPagesOfAnySizeAndAnyNumberOfThreads) {
  Model one(Options(1, 8));
  for (const int page_tokens : {16, 32, 64}) {
    Model other(Options(page_tokens == 32 ? 3 : 2, page_tokens));
    for (const Prompt& prompt : one.Prompts()) {
      const std::vector<float> expected = one.Logits(prompt, 64);
      EXPECT_EQ(expected, other.Logits(prompt, 64)) << prompt.name() << ", page " << page_tokens;
      EXPECT_EQ(expected, other.Logits(prompt, 3)) << prompt.name() << ", page " << page_tokens;
    }
  }
}

}  // namespace
}  // namespace cleave
