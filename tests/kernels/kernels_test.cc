// What kernels.h promises of linear layers and rows, on every backend and ISA of this machine: the
// results of the reference backend, and bits that do not depend on company or threads.
#include "kernels/kernels.h"

#include <cmath>
#include <numeric>

#include "tests/kernels/kernels_fixture.h"

namespace cleave {
namespace {

using testing::AllBackends;
using KernelsTest = testing::KernelsFixture;

INSTANTIATE_TEST_SUITE_P(Backends, KernelsTest, ::testing::ValuesIn(AllBackends()),
                         ::testing::PrintToStringParamName());

struct LinearShape {
  int64_t rows, inputs, outputs;
};
// Odd sizes, parts of panels, groups, tiles and sums, and more rows than are packed at a time.
constexpr LinearShape kLinearShapes[] = {{1, 1, 1},      {1, 64, 64},   {3, 37, 21},
                                         {7, 513, 80},   {13, 640, 65}, {6, 2305, 130},
                                         {245, 300, 96}, {2, 96, 1000}};

TEST_P(KernelsTest, LinearIsTheReferencesForEveryDType) {
  for (const DType activations : {DType::kFloat32, DType::kBFloat16}) {
    for (const DType weights : {DType::kFloat32, DType::kBFloat16}) {
      for (const LinearShape& shape : kLinearShapes) {
        const TensorView x = Random(shape.rows, shape.inputs, 1, activations);
        const TensorView w = Random(shape.outputs, shape.inputs, 2, weights);
        const TensorView bias = Random(1, shape.outputs, 3);
        const HostMatrix source{w.data, weights, shape.outputs, shape.inputs};
        const TensorView found = Zeros(shape.rows, shape.outputs, activations);
        const TensorView expected = Zeros(shape.rows, shape.outputs, activations);
        kernels_->Linear(x, **kernels_->LoadLinear(source), bias, found);
        reference_->Linear(x, **reference_->LoadLinear(source), bias, expected);
        EXPECT_LT(Error(found, expected), Bound(activations))
            << shape.rows << " " << shape.inputs << " " << shape.outputs;
      }
    }
  }
}

TEST_P(KernelsTest, ALinearRowDoesNotDependOnItsNeighboursOrThreads) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (const LinearShape& shape : kLinearShapes) {
      const TensorView x = Random(shape.rows, shape.inputs, 1, dtype);
      const TensorView w = Random(shape.outputs, shape.inputs, 2, DType::kBFloat16);
      const HostMatrix source{w.data, DType::kBFloat16, shape.outputs, shape.inputs};
      const auto weight = *kernels_->LoadLinear(source);
      const TensorView together = Zeros(shape.rows, shape.outputs);
      kernels_->Linear(x, *weight, {}, together);
      for (const int64_t step : {1, 2, 3, 4, 5, 6, 7, 8}) {
        const TensorView cut = Zeros(shape.rows, shape.outputs);
        for (int64_t r = 0; r < shape.rows; r += step) {
          const int64_t count = std::min(step, shape.rows - r);
          kernels_->Linear(x.Rows(r, count), *weight, {}, cut.Rows(r, count));
        }
        ASSERT_EQ(Values(together), Values(cut)) << step << " rows at a time";
      }
      const auto other = Create(3);
      const TensorView threads = Zeros(shape.rows, shape.outputs);
      other->Linear(x, **other->LoadLinear(source), {}, threads);
      ASSERT_EQ(Values(together), Values(threads));
    }
  }
}

TEST_P(KernelsTest, RowOperationsAreTheReferences) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (const int64_t cols : {1, 7, 8, 31, 96, 257, 3840}) {
      const TensorView x = Random(5, cols, 1, dtype), y = Random(5, cols, 2, dtype);
      const TensorView weight = Random(1, cols, 3), bias = Random(1, cols, 4);
      const auto compare = [&](const char* name, auto operation) {
        const TensorView found = Zeros(5, cols, dtype), expected = Zeros(5, cols, dtype);
        operation(*kernels_, found);
        operation(*reference_, expected);
        EXPECT_LE(Error(found, expected), dtype == DType::kFloat32 ? 1e-6 : 0.008)
            << name << ", " << cols << " " << DTypeName(dtype);
      };
      compare("RmsNorm", [&](Kernels& k, TensorView out) { k.RmsNorm(x, weight, 1e-6f, out); });
      compare("RmsNorm plain", [&](Kernels& k, TensorView out) { k.RmsNorm(x, {}, 1e-6f, out); });
      compare("LayerNorm",
              [&](Kernels& k, TensorView out) { k.LayerNorm(x, weight, bias, 1e-5f, out); });
      compare("GeluMultiply", [&](Kernels& k, TensorView out) { k.GeluMultiply(x, y, out); });
      compare("Add", [&](Kernels& k, TensorView out) { k.Add(x, y, out); });
      compare("Scale", [&](Kernels& k, TensorView out) { k.Scale(x, 0.37f, out); });
      compare("Convert",
              [&](Kernels& k, TensorView out) { k.Convert(weight.Rows(0, 1), out.Rows(2, 1)); });
      compare("Softcap", [&](Kernels& k, TensorView out) {
        k.Scale(x, 20.0f, out);
        k.Softcap(out, 30.0f);
      });
    }
  }
}

// Nothing else can be told from NaN: a poisoned page that was read must show.
TEST_P(KernelsTest, NotANumberStaysOne) {
  const TensorView x = Zeros(1, 40);
  static_cast<float*>(x.data)[17] = NAN;
  const TensorView out = Zeros(1, 40);
  kernels_->GeluMultiply(x, Random(1, 40, 1), out);
  EXPECT_TRUE(std::isnan(At(out, 0, 17)));
  EXPECT_FALSE(std::isnan(At(out, 0, 16)));
  kernels_->Softcap(x, 30.0f);
  EXPECT_TRUE(std::isnan(At(x, 0, 17)));
  const TensorView narrow = Zeros(1, 40, DType::kBFloat16);
  kernels_->Convert(x, narrow);
  EXPECT_TRUE(std::isnan(At(narrow, 0, 17)));
}

TEST_P(KernelsTest, EveryBFloat16RoundsAsTheReferenceDoes) {
  // Ties, and both neighbours of each.
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 0x7f80; upper += 37) {
    for (const uint32_t lower : {0u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      values.push_back(std::bit_cast<float>(upper << 16 | lower));
      values.push_back(-values.back());
    }
  }
  const int64_t count = static_cast<int64_t>(values.size());
  const TensorView x{values.data(), DType::kFloat32, device_->id(), 1, count, count};
  const TensorView found = Zeros(1, count, DType::kBFloat16);
  const TensorView expected = Zeros(1, count, DType::kBFloat16);
  kernels_->Convert(x, found);
  reference_->Convert(x, expected);
  EXPECT_EQ(Values(found), Values(expected));
}

TEST_P(KernelsTest, PixelLevelsAreTheReferences) {
  for (const int64_t cols : {1, 15, 48 * 48 * 3}) {
    const TensorView levels = Zeros(3, cols, DType::kUInt8);
    auto* bytes = static_cast<uint8_t*>(levels.data);
    for (int64_t i = 0; i < 3 * cols; ++i) bytes[i] = static_cast<uint8_t>(i * 7);
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      const TensorView found = Zeros(3, cols, dtype), expected = Zeros(3, cols, dtype);
      kernels_->Scale(levels, 1.0f / 255.0f, found);
      reference_->Scale(levels, 1.0f / 255.0f, expected);
      EXPECT_EQ(Values(found), Values(expected)) << cols;
    }
  }
}

TEST_P(KernelsTest, TokensAndPositionsAreTheReferences) {
  const TensorView table = Random(70, 31, 1, DType::kBFloat16);
  const HostMatrix source{table.data, DType::kBFloat16, 70, 31};
  const std::vector<int32_t> ids{0, 69, 17, 17, 16};
  const std::vector<int64_t> ends{1, 2, 3, 4, 5};
  const std::vector<int32_t> outputs{1, 4};
  const BatchSequence sequence{.row_count = 5, .first_position = 262139};
  const auto run = [&](Kernels& kernels, const TensorView& rows, const TensorView& gathered) {
    const auto plan = *kernels.CreatePlan({.rows = 5, .outputs = 2, .sequences = 1, .pages = 0});
    kernels.Fill({.token_ids = ids,
                  .sliding_visible_end = ends,
                  .output_rows = outputs,
                  .sequences = absl::MakeConstSpan(&sequence, 1)},
                 *plan);
    kernels.EmbedTokens(*plan, **kernels.LoadLinear(source), 9.8125f, rows);
    kernels.GatherOutputs(*plan, rows, gathered);
  };
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const TensorView found = Zeros(5, 31, dtype), expected = Zeros(5, 31, dtype);
    const TensorView found_outputs = Zeros(2, 31, dtype), expected_outputs = Zeros(2, 31, dtype);
    run(*kernels_, found, found_outputs);
    run(*reference_, expected, expected_outputs);
    EXPECT_EQ(Values(found), Values(expected));
    EXPECT_EQ(Values(found_outputs), Values(expected_outputs));
  }
}

TEST_P(KernelsTest, RotationsAreTheReferencesAtLongPositions) {
  const std::vector<int32_t> ids(4, 0);
  const std::vector<int64_t> ends(4, 0);
  const BatchSequence sequence{.row_count = 4, .first_position = 262139};
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (const int64_t half : {4, 16, 20}) {
      // Two tables, as a model has, each used twice.
      const TensorView first = Random(1, half, 1), second = Random(1, half, 2);
      const TensorView x = Random(4, 2 * half * 3, 3, dtype);
      const auto run = [&](Kernels& kernels) {
        const auto plan = *kernels.CreatePlan({.rows = 4, .outputs = 0, .sequences = 1});
        kernels.Fill({.token_ids = ids,
                      .sliding_visible_end = ends,
                      .sequences = absl::MakeConstSpan(&sequence, 1)},
                     *plan);
        const TensorView rotated = Copy(x);
        for (const TensorView& table : {first, second, first, second}) {
          kernels.Rope(*plan, table, rotated);
        }
        return rotated;
      };
      EXPECT_EQ(Values(run(*kernels_)), Values(run(*reference_))) << half;
    }
  }
}

TEST_P(KernelsTest, TilePositionsAreTheReferences) {
  const TensorView table = Random(9, 2 * 21, 1);
  const TensorView xy = Zeros(5, 2, DType::kInt32);
  std::iota(static_cast<int32_t*>(xy.data), static_cast<int32_t*>(xy.data) + 9, 0);
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const TensorView x = Random(5, 21, 2, dtype);
    const TensorView found = Zeros(5, 21, dtype), expected = Zeros(5, 21, dtype);
    kernels_->AddPositions(x, table, xy, found);
    reference_->AddPositions(x, table, xy, expected);
    EXPECT_EQ(Values(found), Values(expected));
  }
}

TEST(CpuKernels, AnUnknownIsaIsRefusedByName) {
  const auto device = CreateHostDevice();
  const absl::Status status = CreateKernels(*device, {.isa = "avx9000"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("avx512bf16"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace cleave
