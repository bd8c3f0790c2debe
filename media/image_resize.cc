#include "media/image_resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/check.h"

namespace cleave {
namespace {

constexpr double kCubicSupport = 2.0;  // the kernel is zero from here on, in input pixels

// Keys' cubic convolution with a = -0.5.
double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// Which input pixels each output pixel of one axis is made of, and with what weights.
struct AxisWeights {
  int taps_max;                  // weights kept for each output pixel; unused ones are 0
  int precision;                 // the weights are multiples of 2^-precision
  std::vector<int> first;        // [output] first input pixel
  std::vector<int> count;        // [output] input pixels used, 1 to taps_max
  std::vector<int16_t> weights;  // [output, taps_max]
};

// The most bits with which the largest weight still fits 16 bits.
int FixedPointPrecision(double weight_max) {
  constexpr int kPrecisionMax = 22;
  int precision = 0;
  while (precision < kPrecisionMax &&
         static_cast<int>(0.5 + weight_max * (1 << (precision + 1))) < (1 << 15)) {
    ++precision;
  }
  return precision;
}

AxisWeights ComputeWeights(int input, int output) {
  const double scale = static_cast<double>(input) / output;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kCubicSupport * filter_scale;
  AxisWeights axis;
  axis.taps_max = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis.first.resize(static_cast<size_t>(output));
  axis.count.resize(static_cast<size_t>(output));
  std::vector<double> exact(static_cast<size_t>(output) * static_cast<size_t>(axis.taps_max));
  double weight_max = 0.0;
  for (int i = 0; i < output; ++i) {
    const double center = scale * (i + 0.5);
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int last = std::min(static_cast<int>(center + support + 0.5), input);
    const int count = std::clamp(last - first, 0, axis.taps_max);
    double* weights = &exact[static_cast<size_t>(i) * static_cast<size_t>(axis.taps_max)];
    double total = 0.0;
    for (int k = 0; k < count; ++k) {
      weights[k] = Cubic((k + first - center + 0.5) * (1.0 / filter_scale));
      total += weights[k];
    }
    for (int k = 0; k < count; ++k) {
      weights[k] /= total;
      weight_max = std::max(weight_max, weights[k]);
    }
    axis.first[static_cast<size_t>(i)] = first;
    axis.count[static_cast<size_t>(i)] = count;
  }
  axis.precision = FixedPointPrecision(weight_max);
  axis.weights.reserve(exact.size());
  for (const double weight : exact) {
    const double scaled = weight * (1 << axis.precision);
    axis.weights.push_back(static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
  return axis;
}

uint8_t Round(int32_t sum, int precision) {
  return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255));
}

// in: [input, 3], out: [output, 3].
void ResizeRow(const uint8_t* in, const AxisWeights& axis, uint8_t* out) {
  const int32_t half = 1 << (axis.precision - 1);
  const int16_t* weights = axis.weights.data();
  for (size_t i = 0; i < axis.first.size(); ++i, weights += axis.taps_max, out += 3) {
    const uint8_t* pixel = in + ptrdiff_t{3} * axis.first[i];
    int32_t red = half, green = half, blue = half;
    for (int k = 0; k < axis.count[i]; ++k, pixel += 3) {
      red += weights[k] * pixel[0];
      green += weights[k] * pixel[1];
      blue += weights[k] * pixel[2];
    }
    out[0] = Round(red, axis.precision);
    out[1] = Round(green, axis.precision);
    out[2] = Round(blue, axis.precision);
  }
}

RgbImage ResizeWidth(const RgbImage& image, int width) {
  const AxisWeights axis = ComputeWeights(image.width, width);
  RgbImage out{.height = image.height, .width = width, .pixels = {}};
  const size_t in_row = size_t{3} * static_cast<size_t>(image.width);
  const size_t out_row = size_t{3} * static_cast<size_t>(width);
  out.pixels.resize(out_row * static_cast<size_t>(image.height));
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    ResizeRow(&image.pixels[y * in_row], axis, &out.pixels[y * out_row]);
  }
  return out;
}

// A weighted sum of `count` rows that lie `row` bytes apart: out[x] for x < row. In blocks, so that
// the sums of a block stay in registers and the compiler can use vector instructions.
void SumRows(const uint8_t* in, size_t row, const int16_t* weights, int count, int precision,
             uint8_t* out) {
  constexpr size_t kBlock = 32;
  const int32_t half = 1 << (precision - 1);
  size_t x = 0;
  for (; x + kBlock <= row; x += kBlock) {
    int32_t sums[kBlock];
    for (size_t i = 0; i < kBlock; ++i) sums[i] = half;
    for (int k = 0; k < count; ++k) {
      const uint8_t* values = in + static_cast<size_t>(k) * row + x;
      for (size_t i = 0; i < kBlock; ++i) sums[i] += weights[k] * values[i];
    }
    for (size_t i = 0; i < kBlock; ++i) out[x + i] = Round(sums[i], precision);
  }
  for (; x < row; ++x) {
    int32_t sum = half;
    for (int k = 0; k < count; ++k) sum += weights[k] * in[static_cast<size_t>(k) * row + x];
    out[x] = Round(sum, precision);
  }
}

RgbImage ResizeHeight(const RgbImage& image, int height) {
  const AxisWeights axis = ComputeWeights(image.height, height);
  RgbImage out{.height = height, .width = image.width, .pixels = {}};
  const size_t row = size_t{3} * static_cast<size_t>(image.width);
  out.pixels.resize(row * static_cast<size_t>(height));
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    SumRows(&image.pixels[static_cast<size_t>(axis.first[y]) * row], row,
            &axis.weights[y * static_cast<size_t>(axis.taps_max)], axis.count[y], axis.precision,
            &out.pixels[y * row]);
  }
  return out;
}

}  // namespace

RgbImage ResizeBicubic(const RgbImage& image, int height, int width) {
  CHECK(image.height >= 1 && image.width >= 1 && height >= 1 && width >= 1);
  RgbImage wide = image.width == width ? image : ResizeWidth(image, width);
  return wide.height == height ? wide : ResizeHeight(wide, height);
}

}  // namespace cleave
