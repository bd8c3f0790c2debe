// Single operations against ops.safetensors.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/kernels.h"
#include "model/safetensors.h"
#include "model/transformer.h"
#include "runtime/base/bfloat16.h"
#include "tests/golden/model_check.h"
#include "tests/golden/tensor_compare.h"

namespace cleave::golden {
namespace {

constexpr double kBound = 1e-6;
constexpr double kAngleBound = 2e-6;  // absolute, for sines and cosines

class Operations {
 public:
  Operations(const SafetensorsFile& file, const KernelOptions& options, Report& report)
      : file_(file),
        report_(report),
        device_(CreateHostDevice()),
        kernels_(*CreateKernels(*device_, options)) {}

  void Run() {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      suffix_ = dtype == DType::kFloat32 ? "" : ".bfloat16";
      dtype_ = dtype;
      Gelu();
      Softcap();
      for (const char* width : {"32", "96", "3840"}) Norms(absl::StrCat("norm", width));
      for (const KvKind kind : {KvKind::kSliding, KvKind::kFull}) Rope(kind);
    }
  }

 private:
  std::vector<float> Golden(const std::string& name) const { return Floats(*file_.Find(name)); }

  // A matrix in the dtype under test.
  TensorView Upload(absl::Span<const float> values, int64_t rows) {
    const int64_t cols = static_cast<int64_t>(values.size()) / rows;
    buffers_.push_back(*device_->Allocate(values.size() * DTypeBytes(dtype_)));
    const TensorView view = buffers_.back().View(dtype_, rows, cols);
    kernels_->Convert(HostView(values, rows), view);
    return view;
  }

  TensorView HostView(absl::Span<const float> values, int64_t rows) const {
    const int64_t cols = static_cast<int64_t>(values.size()) / rows;
    return {.data = const_cast<float*>(values.data()),
            .dtype = DType::kFloat32,
            .device = device_->id(),
            .rows = rows,
            .cols = cols,
            .row_stride = cols};
  }

  std::vector<float> Download(TensorView view) {
    std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
    kernels_->Convert(view, HostView(absl::MakeSpan(values), view.rows));
    return values;
  }

  // float32 by relative error; bfloat16 within one unit in the last place of each value, but for
  // values next to zero, where float32's own bound already allows more.
  void Compare(const std::string& what, const std::vector<float>& values,
               const std::vector<float>& golden) {
    report_.Case(what + suffix_);
    if (dtype_ == DType::kFloat32) {
      report_.Stage(what, RelativeError(values, golden), kBound);
      return;
    }
    report_.Stage(what + ", units in the last place", UnitsInTheLastPlace(values, golden), 1);
  }

  static double UnitsInTheLastPlace(const std::vector<float>& values,
                                    const std::vector<float>& golden) {
    double worst = 0, largest = 0;
    for (const float value : golden) largest = std::max(largest, std::abs(double{value}));
    for (size_t i = 0; i < golden.size(); ++i) {
      if (std::abs(double{values[i]} - golden[i]) <= kBound * largest) continue;
      const int a = static_cast<int16_t>(ToBFloat16(values[i]));
      const int b = static_cast<int16_t>(ToBFloat16(golden[i]));
      worst = std::max(worst, static_cast<double>(std::abs(a - b)));
    }
    return worst;
  }

  void Gelu() {
    const std::vector<float> x = Golden("gelu_tanh.x");
    const TensorView gate = Upload(x, 1);
    const TensorView one = Upload(std::vector<float>(x.size(), 1.0f), 1);
    kernels_->GeluMultiply(gate, one, gate);
    Compare("gelu_tanh", Download(gate),
            Golden(dtype_ == DType::kFloat32 ? "gelu_tanh.float32" : "gelu_tanh.bfloat16"));
  }

  // Logits are float32 in every configuration, so there is no bfloat16 chain to compare.
  void Softcap() {
    if (dtype_ != DType::kFloat32) return;
    const TensorView z = Upload(Golden("softcap.z"), 1);
    kernels_->Softcap(z, 30.0f);
    Compare("softcap", Download(z), Golden("softcap.float32"));
  }

  void Norms(const std::string& name) {
    const int64_t rows = file_.Find(name + ".x")->shape[0];
    const std::vector<float> x_values = Golden(name + ".x");
    const std::vector<float> weight_values = Golden(name + ".w"), bias_values = Golden(name + ".b");
    const TensorView weight = HostView(weight_values, 1), bias = HostView(bias_values, 1);
    const auto run = [&](const char* kind, auto&& operation) {
      const TensorView x = Upload(x_values, rows);
      operation(x);
      Compare(absl::StrCat(name, ".", kind), Download(x),
              Golden(absl::StrCat(name, ".", kind, suffix_)));
    };
    run("rms", [&](TensorView x) { kernels_->RmsNorm(x, weight, 1e-6f, x); });
    run("rms_plain", [&](TensorView x) { kernels_->RmsNorm(x, {}, 1e-6f, x); });
    run("layer", [&](TensorView x) { kernels_->LayerNorm(x, weight, bias, 1e-5f, x); });
  }

  // Rotating the vector (1, 0) of every pair gives (cos, sin).
  void Rope(KvKind kind) {
    const bool full = kind == KvKind::kFull;
    const std::string prefix = full ? "rope.full_attention." : "rope.sliding_attention.";
    const int head_dim = full ? 512 : 256;
    const RopeConfig rope = full ? RopeConfig{1e6, 0.25} : RopeConfig{1e4, 1};
    const std::vector<float> frequencies = InverseFrequencies(rope, head_dim);
    report_.Case(prefix + "inv_freq" + suffix_);
    report_.Exact("inv_freq, every bit", frequencies == Golden(prefix + "inv_freq"),
                  "a bit differs");

    const std::vector<int32_t> positions = Ints(*file_.Find("rope.positions"));
    const std::string dtype = dtype_ == DType::kFloat32 ? "float32" : "bfloat16";
    const std::vector<float> cosines = Golden(prefix + "cos." + dtype);
    const std::vector<float> sines = Golden(prefix + "sin." + dtype);
    // As the golden tables: head_dim values a position, of which the second half repeats the first.
    std::vector<float> golden_pairs, all_rotated;
    for (size_t i = 0; i < positions.size(); ++i) {
      std::vector<float> pairs(static_cast<size_t>(head_dim), 0.0f);
      std::fill_n(pairs.begin(), head_dim / 2, 1.0f);
      const TensorView x = Upload(pairs, 1);
      const std::unique_ptr<BatchPlan> plan = PlanForPosition(positions[i]);
      kernels_->Rope(*plan, HostView(frequencies, 1), x);
      const std::vector<float> rotated = Download(x);
      all_rotated.insert(all_rotated.end(), rotated.begin(), rotated.end());
      for (const auto* table : {&cosines, &sines}) {
        const auto first = table->begin() + static_cast<ptrdiff_t>(i) * head_dim;
        golden_pairs.insert(golden_pairs.end(), first, first + head_dim / 2);
      }
    }
    report_.Case(prefix + "cos and sin" + suffix_);
    if (dtype_ == DType::kBFloat16) {
      report_.Stage("units in the last place", UnitsInTheLastPlace(all_rotated, golden_pairs), 1);
      return;
    }
    double worst = 0;
    for (size_t i = 0; i < golden_pairs.size(); ++i) {
      const double difference = std::abs(double{all_rotated[i]} - golden_pairs[i]);
      worst = std::isnan(difference) || difference > worst ? difference : worst;
      if (std::isnan(worst)) break;  // and fails
    }
    report_.Stage("absolute difference", worst, kAngleBound);
  }

  std::unique_ptr<BatchPlan> PlanForPosition(int64_t position) {
    std::unique_ptr<BatchPlan> plan =
        *kernels_->CreatePlan({.rows = 1, .outputs = 0, .sequences = 1, .pages = 0});
    const int32_t id = 0;
    const int64_t visible_end = position + 1;
    const BatchSequence sequence{.first_row = 0,
                                 .row_count = 1,
                                 .first_position = position,
                                 .full_pages = {},
                                 .sliding_pages = {},
                                 .sliding_begin = 0};
    kernels_->Fill({.token_ids = {&id, 1},
                    .sliding_visible_end = {&visible_end, 1},
                    .output_rows = {},
                    .sequences = {&sequence, 1}},
                   *plan);
    return plan;
  }

  const SafetensorsFile& file_;
  Report& report_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> kernels_;
  std::vector<Buffer> buffers_;
  DType dtype_ = DType::kFloat32;
  std::string suffix_;
};

}  // namespace

void CheckOperations(const ModelCheckOptions& options, Report& report) {
  const absl::StatusOr<SafetensorsFile> file =
      SafetensorsFile::Open(options.cases_dir + "/ops.safetensors");
  if (absl::IsNotFound(file.status())) {
    report.Note(absl::StrCat("no single operations compared: ", file.status().message()));
    return;
  }
  if (!file.ok()) {
    report.Case("operations");
    report.Exact("read", false, file.status().ToString());
    return;
  }
  Operations(*file, options.kernels, report).Run();
}

}  // namespace cleave::golden
