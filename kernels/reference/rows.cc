// Operations that work on one row at a time.
#include <cmath>
#include <vector>

#include "kernels/reference/element.h"
#include "kernels/reference/reference_kernels.h"

namespace cleave::reference {
namespace {

bool SameShape(const TensorView& a, const TensorView& b) {
  return a.rows == b.rows && a.cols == b.cols;
}

// In float, step by step as the reference does it: near -3 the sum 1 + tanh cancels, and the
// exact value would be another one.
float GeluTanh(float x) {
  constexpr float kSqrtTwoOverPi = 0.797884583f;
  const float inner = kSqrtTwoOverPi * (x + 0.044715f * (x * x * x));
  const float tanh = static_cast<float>(std::tanh(double{inner}));
  return 0.5f * x * (1.0f + tanh);
}

}  // namespace

void ReferenceKernels::EmbedTokens(const BatchPlan& plan, const LinearWeight& table,
                                   float multiplier, TensorView out) {
  const auto& batch = static_cast<const ReferenceBatchPlan&>(plan);
  const TensorView rows = static_cast<const ReferenceLinearWeight&>(table).view();
  CHECK(out.rows == batch.rows() && out.cols == rows.cols);
  for (int64_t r = 0; r < out.rows; ++r) {
    const int64_t token = batch.token_ids()[static_cast<size_t>(r)];
    CHECK(token >= 0 && token < rows.rows);
    for (int64_t c = 0; c < out.cols; ++c) Set(out, r, c, Get(rows, token, c) * multiplier);
  }
}

void ReferenceKernels::GatherOutputs(const BatchPlan& plan, TensorView x, TensorView out) {
  const auto& batch = static_cast<const ReferenceBatchPlan&>(plan);
  CHECK(out.rows == batch.outputs() && x.rows == batch.rows() && x.cols == out.cols);
  for (int64_t i = 0; i < out.rows; ++i) {
    const int64_t row = batch.output_rows()[static_cast<size_t>(i)];
    for (int64_t c = 0; c < out.cols; ++c) Set(out, i, c, Get(x, row, c));
  }
}

void ReferenceKernels::Convert(TensorView x, TensorView out) {
  CHECK(SameShape(x, out));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < x.cols; ++c) Set(out, r, c, Get(x, r, c));
  }
}

void ReferenceKernels::Linear(TensorView x, const LinearWeight& weight, TensorView bias,
                              TensorView out) {
  const TensorView w = static_cast<const ReferenceLinearWeight&>(weight).view();
  CHECK(x.cols == w.cols && out.cols == w.rows && out.rows == x.rows);
  CHECK(bias.empty() || bias.cols == w.rows);
  std::vector<double> row(static_cast<size_t>(x.cols));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t k = 0; k < x.cols; ++k) row[static_cast<size_t>(k)] = Get(x, r, k);
    for (int64_t o = 0; o < w.rows; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < x.cols; ++k) sum += row[static_cast<size_t>(k)] * Get(w, o, k);
      if (!bias.empty()) sum += Get(bias, 0, o);
      Set(out, r, o, static_cast<float>(sum));
    }
  }
}

void ReferenceKernels::RmsNorm(TensorView x, TensorView weight, float epsilon, TensorView out) {
  CHECK(SameShape(x, out) && (weight.empty() || weight.cols == x.cols));
  for (int64_t r = 0; r < x.rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < x.cols; ++c) squares += double{Get(x, r, c)} * Get(x, r, c);
    const double mean = squares / static_cast<double>(x.cols);
    const double factor = 1.0 / std::sqrt(mean + double{epsilon});
    for (int64_t c = 0; c < x.cols; ++c) {
      const double scale = weight.empty() ? 1.0 : Get(weight, 0, c);
      Set(out, r, c, static_cast<float>(Get(x, r, c) * factor * scale));
    }
  }
}

void ReferenceKernels::LayerNorm(TensorView x, TensorView weight, TensorView bias, float epsilon,
                                 TensorView out) {
  CHECK(SameShape(x, out) && weight.cols == x.cols && bias.cols == x.cols);
  for (int64_t r = 0; r < x.rows; ++r) {
    double sum = 0;
    for (int64_t c = 0; c < x.cols; ++c) sum += Get(x, r, c);
    const double mean = sum / static_cast<double>(x.cols);
    double squares = 0;
    for (int64_t c = 0; c < x.cols; ++c) squares += std::pow(Get(x, r, c) - mean, 2);
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(x.cols) + double{epsilon});
    for (int64_t c = 0; c < x.cols; ++c) {
      const double value = (Get(x, r, c) - mean) * factor * Get(weight, 0, c) + Get(bias, 0, c);
      Set(out, r, c, static_cast<float>(value));
    }
  }
}

void ReferenceKernels::Rope(const BatchPlan& plan, TensorView inverse_frequency, TensorView x) {
  const auto& batch = static_cast<const ReferenceBatchPlan&>(plan);
  const int64_t half = inverse_frequency.cols;
  CHECK(x.rows == batch.rows() && x.cols % (2 * half) == 0);
  const auto round = [&](float value) { return Round(value, x.dtype); };
  for (int64_t r = 0; r < x.rows; ++r) {
    const float position = static_cast<float>(batch.row(r).position);
    for (int64_t i = 0; i < half; ++i) {
      // The angle is a float product; its cosine and sine are those of that float.
      const float angle = position * Get(inverse_frequency, 0, i);
      const float cosine = round(static_cast<float>(std::cos(double{angle})));
      const float sine = round(static_cast<float>(std::sin(double{angle})));
      for (int64_t head = 0; head < x.cols; head += 2 * half) {
        const float low = Get(x, r, head + i);
        const float high = Get(x, r, head + half + i);
        Set(x, r, head + i, round(low * cosine) - round(high * sine));
        Set(x, r, head + half + i, round(high * cosine) + round(low * sine));
      }
    }
  }
}

void ReferenceKernels::GeluMultiply(TensorView gate, TensorView up, TensorView out) {
  CHECK(SameShape(gate, up) && SameShape(gate, out));
  for (int64_t r = 0; r < gate.rows; ++r) {
    for (int64_t c = 0; c < gate.cols; ++c) {
      Set(out, r, c, Round(GeluTanh(Get(gate, r, c)), gate.dtype) * Get(up, r, c));
    }
  }
}

void ReferenceKernels::Add(TensorView a, TensorView b, TensorView out) {
  CHECK(SameShape(a, b) && SameShape(a, out));
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c < a.cols; ++c) Set(out, r, c, Get(a, r, c) + Get(b, r, c));
  }
}

void ReferenceKernels::Scale(TensorView x, float factor, TensorView out) {
  CHECK(SameShape(x, out));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < x.cols; ++c) Set(out, r, c, Get(x, r, c) * factor);
  }
}

void ReferenceKernels::Softcap(TensorView x, float cap) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < x.cols; ++c) {
      Set(x, r, c, static_cast<float>(cap * std::tanh(double{Get(x, r, c)} / cap)));
    }
  }
}

void ReferenceKernels::AddPositions(TensorView x, TensorView table, TensorView xy, TensorView out) {
  CHECK(SameShape(x, out) && table.cols == 2 * x.cols && xy.cols == 2 && xy.rows == x.rows);
  CHECK(xy.dtype == DType::kInt32);
  const auto* coordinates = static_cast<const int32_t*>(xy.data);
  for (int64_t r = 0; r < x.rows; ++r) {
    const int64_t column = coordinates[r * xy.row_stride];
    const int64_t row = coordinates[r * xy.row_stride + 1];
    CHECK(column >= 0 && column < table.rows && row >= 0 && row < table.rows);
    for (int64_t c = 0; c < x.cols; ++c) {
      const float position = Round(Get(table, column, c) + Get(table, row, x.cols + c), x.dtype);
      Set(out, r, c, Get(x, r, c) + position);
    }
  }
}

}  // namespace cleave::reference
