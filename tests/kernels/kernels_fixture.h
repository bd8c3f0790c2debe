// Every backend and ISA of this machine, with matrices to feed it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/base/bfloat16.h"

namespace cleave::testing {

// "reference", or an ISA of the CPU backend with its number of threads.
struct Backend {
  std::string name;
  int threads = 1;
};

inline std::ostream& operator<<(std::ostream& out, const Backend& backend) {
  return out << backend.name << "_" << backend.threads;
}

inline std::vector<Backend> AllBackends() {
  std::vector<Backend> backends{{"reference", 1}};
  for (const std::string& isa : SupportedCpuIsas()) {
    backends.push_back({isa, 1});
    backends.push_back({isa, 2});
  }
  return backends;
}

class KernelsFixture : public ::testing::TestWithParam<Backend> {
 protected:
  KernelsFixture()
      : device_(CreateHostDevice()),
        reference_(*CreateKernels(*device_, {.backend = "reference"})),
        kernels_(Create(GetParam().threads)) {}

  // The backend under test, with another number of threads.
  std::unique_ptr<Kernels> Create(int threads) {
    if (GetParam().name == "reference") return *CreateKernels(*device_, {.backend = "reference"});
    return *CreateKernels(*device_, {.isa = GetParam().name, .threads = threads});
  }

  TensorView Zeros(int64_t rows, int64_t cols, DType dtype = DType::kFloat32) {
    const size_t bytes = static_cast<size_t>(rows * cols) * DTypeBytes(dtype);
    buffers_.push_back(*device_->Allocate(bytes));
    return buffers_.back().View(dtype, rows, cols);
  }
  // Normal values, rounded to the dtype.
  TensorView Random(int64_t rows, int64_t cols, uint64_t seed, DType dtype = DType::kFloat32) {
    const TensorView view = Zeros(rows, cols, dtype);
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = normal(random);
      if (dtype == DType::kFloat32) {
        static_cast<float*>(view.data)[i] = value;
      } else {
        static_cast<BFloat16*>(view.data)[i] = ToBFloat16(value);
      }
    }
    return view;
  }
  TensorView Copy(const TensorView& view) {
    const TensorView copy = Zeros(view.rows, view.cols, view.dtype);
    reference_->Convert(view, copy);
    return copy;
  }

  static float At(const TensorView& view, int64_t row, int64_t col) {
    const int64_t i = row * view.row_stride + col;
    return view.dtype == DType::kFloat32 ? static_cast<const float*>(view.data)[i]
                                         : ToFloat(static_cast<const BFloat16*>(view.data)[i]);
  }
  static std::vector<float> Values(const TensorView& view) {
    std::vector<float> out;
    for (int64_t r = 0; r < view.rows; ++r) {
      for (int64_t c = 0; c < view.cols; ++c) out.push_back(At(view, r, c));
    }
    return out;
  }
  // The largest difference beside the largest value.
  static double Error(const TensorView& found, const TensorView& expected) {
    const std::vector<float> a = Values(found), b = Values(expected);
    double difference = 0, largest = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double apart = std::abs(double{a[i]} - double{b[i]});
      if (std::isnan(apart)) return apart;
      difference = std::max(difference, apart);
      largest = std::max(largest, std::abs(double{b[i]}));
    }
    return difference / largest;
  }
  // One rounding in the last place of a bfloat16, or summation order in float.
  static double Bound(DType dtype) { return dtype == DType::kBFloat16 ? 0.01 : 2e-6; }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> reference_;
  std::unique_ptr<Kernels> kernels_;
  std::vector<Buffer> buffers_;
};

}  // namespace cleave::testing
