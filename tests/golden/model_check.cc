#include "tests/golden/model_check.h"

#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "model/safetensors.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"
#include "tests/golden/case_media.h"
#include "tests/golden/tensor_compare.h"
#include "tests/support/model_runner.h"

namespace cleave::golden {
namespace {

using testing::HostRows;
using testing::ModelRunner;
using testing::RunnerMedia;

// The README's table of tolerances.
struct Bounds {
  double media;
  double one_layer;
  double layers;
  double logits;
};
constexpr Bounds kFloat32Bounds{2e-6, 2e-6, 3e-5, 3e-5};
constexpr Bounds kBFloat16Bounds{0.01, 0.03, 0.25, 0.15};
constexpr double kMeanLogitBound = 0.35;
constexpr int64_t kGreedyTokens = 32;

// One case: its tensors, its float32 twin's inputs, and the model it runs on.
class ModelCase {
 public:
  ModelCase(std::string name, bool is_bfloat16, SafetensorsFile tensors, SafetensorsFile inputs,
            ModelRunner& runner, Report& report)
      : name_(std::move(name)),
        is_bfloat16_(is_bfloat16),
        bounds_(is_bfloat16 ? kBFloat16Bounds : kFloat32Bounds),
        tensors_(std::move(tensors)),
        inputs_(std::move(inputs)),
        runner_(runner),
        report_(report) {}

  void Run() {
    report_.Case(name_);
    ids_ = Ints(*inputs_.Find("input_ids"));
    CheckMedia();
    CheckLayerByLayer();
    CheckWholeNetwork();
    if (!is_bfloat16_) CheckGreedy();
  }

 private:
  const StoredTensor* Golden(const std::string& stage) const { return tensors_.Find(stage); }

  // Compares when the golden file has the stage.
  void Compare(const std::string& stage, absl::Span<const float> values, double bound,
               absl::string_view label = "") {
    const StoredTensor* golden = Golden(stage);
    if (golden == nullptr) return;
    report_.Stage(absl::StrCat(stage, label), RelativeError(values, Floats(*golden)), bound);
  }

  void CheckMedia();
  void CheckLayerByLayer();
  void CheckWholeNetwork();
  void CheckCache(const std::string& prefix, int layer, int64_t end);
  void CheckGreedy();

  std::string name_;
  bool is_bfloat16_;
  Bounds bounds_;
  SafetensorsFile tensors_;
  SafetensorsFile inputs_;
  ModelRunner& runner_;
  Report& report_;
  std::vector<int32_t> ids_;
  std::vector<RunnerMedia> media_;
};

void ModelCase::CheckMedia() {
  std::map<std::string, std::vector<float>> stages;
  runner_.embedder().set_tap([&](absl::string_view stage, int, TensorView value) {
    const HostRows rows = runner_.Fetch(value);
    auto& all = stages[std::string(stage)];
    all.insert(all.end(), rows.values.begin(), rows.values.end());
  });
  media_ = EmbedCaseMedia(inputs_, runner_);
  runner_.embedder().set_tap(nullptr);
  for (const auto& [stage, values] : stages) Compare(stage, values, bounds_.media);
}

// Each layer on its own: fed with the golden output of the layer before, so errors do not add up.
// Some cases have the end of the network alone.
void ModelCase::CheckLayerByLayer() {
  if (Golden("embeddings") == nullptr) {
    report_.Exact("greedy_logits", Golden("greedy_logits") != nullptr,
                  "the golden file has neither embeddings nor greedy_logits");
    return;
  }
  runner_.Reset();
  Transformer& transformer = runner_.transformer();
  const BatchPlan& plan = runner_.Prepare(ids_, media_, true);
  const TensorView hidden = transformer.Embed(plan, runner_.SoftRowsOf(media_));
  Compare("embeddings", runner_.Fetch(hidden).values, bounds_.media);
  transformer.set_tap([&](absl::string_view stage, int layer, TensorView value) {
    if (layer < 0) return;
    const HostRows rows = runner_.Fetch(value);
    const int dim = runner_.config().layers[static_cast<size_t>(layer)].head_dim;
    const bool heads_first = stage == "q" || stage == "k" || stage == "v";
    Compare(absl::StrFormat("layer.%02d.%s", layer, std::string(stage)),
            heads_first ? HeadsFirst(rows.values, rows.rows, dim) : rows.values, bounds_.one_layer,
            " (alone)");
  });
  std::string input = "embeddings";
  for (int layer = 0; layer < runner_.config().num_layers(); ++layer) {
    runner_.Put(Floats(*Golden(input)), hidden);
    transformer.RunLayer(layer, plan, runner_.kv(), hidden);
    input = absl::StrFormat("layer.%02d.out", layer);
  }
  transformer.set_tap(nullptr);
}

void ModelCase::CheckWholeNetwork() {
  runner_.Reset();
  runner_.transformer().set_tap([&](absl::string_view stage, int layer, TensorView value) {
    if (layer < 0 || stage != "out") return;
    Compare(absl::StrFormat("layer.%02d.out", layer), runner_.Fetch(value).values, bounds_.layers);
  });
  runner_.Forward(ids_, media_, true);
  runner_.transformer().set_tap(nullptr);
  const int64_t end = runner_.positions();
  for (int layer = 0; layer < runner_.config().num_layers(); ++layer) {
    const std::string prefix = absl::StrFormat("layer.%02d.", layer);
    Compare(prefix + "k", runner_.FetchKv(layer, false, 0, end), bounds_.layers);
    Compare(prefix + "v", runner_.FetchKv(layer, true, 0, end), bounds_.layers);
    CheckCache("cache", layer, end);
  }
  Compare("final_hidden", runner_.Fetch(runner_.transformer().final_hidden()).values,
          bounds_.layers);
  const HostRows logits = runner_.Fetch(runner_.transformer().logits());
  Compare("logits", logits.values, bounds_.logits);
  if (is_bfloat16_) {
    report_.Stage("logits, mean difference",
                  MeanAbsoluteError(logits.values, Floats(*Golden("logits"))), kMeanLogitBound);
  }
  if (const StoredTensor* deviating = Golden("deviating.logits_last")) {
    // An engine that meets these values has the mask rule of another model. (A picture of one tile
    // looks the same under both.)
    const auto last_row = [&](absl::Span<const float> rows) {
      return rows.last(static_cast<size_t>(logits.cols));
    };
    constexpr double kApart = 10 * kFloat32Bounds.logits;
    const std::vector<float> other = Floats(*deviating), golden = Floats(*Golden("logits"));
    if (RelativeError(last_row(golden), other) > kApart) {
      report_.Exact("not the deviating mask rule",
                    RelativeError(last_row(logits.values), other) > kApart,
                    "the logits are those of the other rule");
    }
  }
}

// What the reference's cache holds: full layers all positions, sliding ones the last window - 1.
void ModelCase::CheckCache(const std::string& prefix, int layer, int64_t end) {
  const std::string stage = absl::StrFormat("%s.%02d.", prefix, layer);
  if (Golden(stage + "k") == nullptr) return;
  const bool full = runner_.config().layers[static_cast<size_t>(layer)].kind == KvKind::kFull;
  const int64_t first =
      full ? 0 : std::max<int64_t>(0, end - (runner_.config().sliding_window - 1));
  Compare(stage + "k", runner_.FetchKv(layer, false, first, end), bounds_.layers);
  Compare(stage + "v", runner_.FetchKv(layer, true, first, end), bounds_.layers);
}

// Continues the sequence that CheckWholeNetwork has left.
void ModelCase::CheckGreedy() {
  std::vector<int32_t> tokens;
  std::vector<float> all_logits, all_hidden;
  for (int64_t i = 0; i < kGreedyTokens; ++i) {
    const auto last_row = [](const HostRows& rows) {
      return absl::MakeConstSpan(rows.values).last(static_cast<size_t>(rows.cols));
    };
    const HostRows logits = runner_.Fetch(runner_.transformer().logits());
    const HostRows hidden = runner_.Fetch(runner_.transformer().final_hidden());
    all_logits.insert(all_logits.end(), last_row(logits).begin(), last_row(logits).end());
    all_hidden.insert(all_hidden.end(), last_row(hidden).begin(), last_row(hidden).end());
    tokens.push_back(runner_.ArgMax(last_row(logits)));
    if (i + 1 < kGreedyTokens) {
      runner_.Forward(absl::MakeConstSpan(tokens).last(1), {}, false);
    }
  }
  for (int layer = 0; layer < runner_.config().num_layers(); ++layer) {
    CheckCache("cache_end", layer, runner_.positions());
  }
  Compare("greedy_logits", all_logits, bounds_.logits);
  Compare("greedy_hidden", all_hidden, bounds_.layers);
  const std::vector<int32_t> golden = Ints(*Golden("greedy_tokens"));
  report_.Exact(
      "greedy_tokens", tokens == golden,
      absl::StrCat(absl::StrJoin(tokens, " "), " instead of ", absl::StrJoin(golden, " ")));
}

absl::Status RunCase(const ModelCheckOptions& options, const std::string& name,
                     const JsonValue& entry, Report& report) {
  ASSIGN_OR_RETURN(const std::string checkpoint, entry.String("checkpoint"));
  ASSIGN_OR_RETURN(const std::string dtype_name, entry.String("dtype"));
  const DType dtype = dtype_name == "bfloat16" ? DType::kBFloat16 : DType::kFloat32;
  const std::string base = options.cases_dir + "/cases/" + name;
  ASSIGN_OR_RETURN(SafetensorsFile tensors, SafetensorsFile::Open(base + ".safetensors"));
  // A bfloat16 case leaves out the inputs that its float32 twin has.
  const std::string twin(absl::StripSuffix(base, ".bf16"));
  ASSIGN_OR_RETURN(SafetensorsFile inputs, SafetensorsFile::Open(twin + ".safetensors"));
  const StoredTensor* ids = inputs.Find("input_ids");
  if (ids == nullptr) return absl::NotFoundError(twin + ".safetensors: no tensor input_ids");
  ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner,
                   ModelRunner::Load(
                       options.cases_dir + "/checkpoints/" + checkpoint,
                       {.kernels = options.kernels,
                        .activations = dtype,
                        .kv = {.page_tokens = 8, .dtype = dtype, .form = options.kv_form},
                        .positions_max = static_cast<int64_t>(Ints(*ids).size()) + kGreedyTokens}));
  ModelCase(name, dtype == DType::kBFloat16, std::move(tensors), std::move(inputs), *runner, report)
      .Run();
  return absl::OkStatus();
}

absl::Status RunCases(const ModelCheckOptions& options, Report& report) {
  const std::string index_path = options.cases_dir + "/cases/index.json";
  ASSIGN_OR_RETURN(const std::string text, ReadFile(index_path));
  ASSIGN_OR_RETURN(const JsonDocument index, JsonDocument::Parse(text, index_path));
  ASSIGN_OR_RETURN(const auto cases, index.root().AsMembers());
  for (const auto& [name, entry] : cases) {
    const absl::Status status = RunCase(options, std::string(name), entry, report);
    if (!status.ok()) {
      report.Case(name);
      report.Exact("load", false, std::string(status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBackend(const ModelCheckOptions& options) {
  const std::unique_ptr<Device> device = CreateHostDevice();
  return CreateKernels(*device, options.kernels).status();
}

void CheckModel(const ModelCheckOptions& options, Report& report) {
  const absl::Status status = RunCases(options, report);
  if (!status.ok()) {
    report.Case("index");
    report.Exact("load", false, std::string(status.message()));
  }
}

}  // namespace cleave::golden
