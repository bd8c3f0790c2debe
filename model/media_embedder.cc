#include "model/media_embedder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// PyTorch's default for LayerNorm, which the vision embedder's norms use; not rms_norm_eps.
constexpr float kLayerNormEpsilon = 1e-5f;
// The reference's image processor multiplies by the float nearest to 1/255.
constexpr float kPixelScale = 1.0f / 255.0f;

struct Matrix {
  Buffer buffer;
  TensorView view;
};

absl::StatusOr<Matrix> NewMatrix(Kernels& kernels, DType dtype, int64_t rows, int64_t cols) {
  const size_t bytes = static_cast<size_t>(rows * cols) * DTypeBytes(dtype);
  ASSIGN_OR_RETURN(Buffer buffer, kernels.device().Allocate(bytes));
  const TensorView view = buffer.View(dtype, rows, cols);
  return Matrix{std::move(buffer), view};
}

absl::StatusOr<Matrix> Upload(Kernels& kernels, const void* data, DType dtype, int64_t rows,
                              int64_t cols) {
  ASSIGN_OR_RETURN(Matrix matrix, NewMatrix(kernels, dtype, rows, cols));
  kernels.stream().CopyFromHost(matrix.view.data, data, matrix.buffer.bytes());
  return matrix;
}

// (x, y) of every tile, row by row.
std::vector<int32_t> TilePositions(int rows, int columns) {
  std::vector<int32_t> positions;
  positions.reserve(static_cast<size_t>(rows) * static_cast<size_t>(columns) * 2);
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      positions.push_back(x);
      positions.push_back(y);
    }
  }
  return positions;
}

}  // namespace

absl::StatusOr<SoftEmbeddings> MediaEmbedder::EmbedImage(absl::Span<const uint8_t> tiles, int rows,
                                                         int columns, PixelScale scale) {
  const VisionConfig& vision = config_.vision;
  const VisionWeights& weights = weights_.vision;
  const int64_t count = int64_t{rows} * columns;
  CHECK(rows > 0 && columns > 0);
  CHECK(tiles.size() == static_cast<size_t>(count * vision.tile_values()));
  if (std::max(rows, columns) > vision.position_table) {
    return InvalidField(Reason::kMediaLimit, rows > columns ? "image.rows" : "image.columns",
                        absl::StrCat("at most ", vision.position_table, " tiles"),
                        absl::StrCat(std::max(rows, columns), " tiles"));
  }
  const std::vector<int32_t> xy_values = TilePositions(rows, columns);
  ASSIGN_OR_RETURN(Matrix xy, Upload(kernels_, xy_values.data(), DType::kInt32, count, 2));
  ASSIGN_OR_RETURN(Matrix tile, NewMatrix(kernels_, activations_, count, vision.tile_values()));
  ASSIGN_OR_RETURN(Matrix u, NewMatrix(kernels_, activations_, count, vision.embedding_dim));
  ASSIGN_OR_RETURN(Matrix soft, NewMatrix(kernels_, activations_, count, config_.hidden_size));

  RETURN_IF_ERROR(ScalePixels(tiles, scale, tile.view));
  kernels_.LayerNorm(tile.view, weights.tile_norm_weight.view(), weights.tile_norm_bias.view(),
                     kLayerNormEpsilon, tile.view);
  Tap("vision.patch_ln1", tile.view);
  kernels_.Linear(tile.view, *weights.dense, weights.dense_bias.view(), u.view);
  Tap("vision.patch_dense", u.view);
  kernels_.LayerNorm(u.view, weights.dense_norm_weight.view(), weights.dense_norm_bias.view(),
                     kLayerNormEpsilon, u.view);
  Tap("vision.patch_ln2", u.view);
  kernels_.AddPositions(u.view, weights.positions.view(), xy.view, u.view);
  Tap("vision.pos_norm_in", u.view);
  kernels_.LayerNorm(u.view, weights.position_norm_weight.view(), weights.position_norm_bias.view(),
                     kLayerNormEpsilon, u.view);
  Tap("vision.pos_norm", u.view);
  kernels_.RmsNorm(u.view, {}, vision.rms_epsilon, u.view);
  Tap("vision.rms", u.view);
  kernels_.Linear(u.view, *weights.projection, {}, soft.view);
  Tap("vision.soft", soft.view);
  // The working memory is freed on return, so the device must be done with it.
  kernels_.stream().WaitForAll();
  return SoftEmbeddings(std::move(soft.buffer), activations_, count, config_.hidden_size);
}

absl::Status MediaEmbedder::ScalePixels(absl::Span<const uint8_t> tiles, PixelScale scale,
                                        TensorView tile) {
  // Where the two scales give different numbers, a frame's are computed here; elsewhere the levels
  // are brought to the device as they are, a quarter of the bytes.
  if (scale == PixelScale::kVideoFrame && activations_ == DType::kFloat32) {
    std::vector<float> values(tiles.begin(), tiles.end());
    for (float& value : values) value /= 255.0f;
    ASSIGN_OR_RETURN(const Matrix quotients,
                     Upload(kernels_, values.data(), DType::kFloat32, tile.rows, tile.cols));
    kernels_.Convert(quotients.view, tile);
    kernels_.stream().WaitForAll();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Matrix levels,
                   Upload(kernels_, tiles.data(), DType::kUInt8, tile.rows, tile.cols));
  kernels_.Scale(levels.view, kPixelScale, tile);
  kernels_.stream().WaitForAll();
  return absl::OkStatus();
}

absl::StatusOr<SoftEmbeddings> MediaEmbedder::EmbedAudio(absl::Span<const float> frames) {
  const int64_t samples = config_.audio.samples_per_token;
  const int64_t count = static_cast<int64_t>(frames.size()) / samples;
  CHECK(count > 0 && count * samples == static_cast<int64_t>(frames.size()));
  ASSIGN_OR_RETURN(Matrix wave, Upload(kernels_, frames.data(), DType::kFloat32, count, samples));
  ASSIGN_OR_RETURN(Matrix frame, NewMatrix(kernels_, activations_, count, samples));
  ASSIGN_OR_RETURN(Matrix soft, NewMatrix(kernels_, activations_, count, config_.hidden_size));

  kernels_.Convert(wave.view, frame.view);
  kernels_.RmsNorm(frame.view, {}, config_.audio.rms_epsilon, frame.view);
  Tap("audio.rms", frame.view);
  kernels_.Linear(frame.view, *weights_.audio_projection, {}, soft.view);
  Tap("audio.soft", soft.view);
  kernels_.stream().WaitForAll();
  return SoftEmbeddings(std::move(soft.buffer), activations_, count, config_.hidden_size);
}

}  // namespace cleave
