// Pictures and sounds into soft embeddings: rows that stand in a sequence like tokens. There is no
// encoder: a tile or a frame passes a few norms and two projections.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/kernels.h"
#include "model/model_config.h"
#include "model/transformer.h"
#include "model/weights.h"

namespace cleave {

// Soft embeddings of one picture or sound, [tokens, hidden_size] on the device. Owns its memory.
class SoftEmbeddings {
 public:
  SoftEmbeddings() = default;
  SoftEmbeddings(Buffer buffer, DType dtype, int64_t tokens, int64_t width)
      : buffer_(std::move(buffer)), dtype_(dtype), tokens_(tokens), width_(width) {}
  int64_t tokens() const { return tokens_; }
  TensorView view() const { return buffer_.View(dtype_, tokens_, width_); }

 private:
  Buffer buffer_;
  DType dtype_ = DType::kFloat32;
  int64_t tokens_ = 0;
  int64_t width_ = 0;
};

// How levels become numbers, as the reference's processors do: an image's are multiplied by the
// float nearest to 1/255, a video frame's divided by 255. Equal in bfloat16, a unit in the last
// place apart for half of the levels in float32.
enum class PixelScale { kImage, kVideoFrame };

// Weights and kernels outlive it. The engine's thread uses it.
class MediaEmbedder {
 public:
  MediaEmbedder(const ModelConfig& config, const ModelWeights& weights, Kernels& kernels,
                DType activations)
      : config_(config), weights_(weights), kernels_(kernels), activations_(activations) {}

  // tiles: [rows * columns, tile_values] levels 0 to 255 in tile order (row by row; inside a tile
  // row, column, channel), in host memory. INVALID_ARGUMENT with Reason::kMediaLimit and
  // the field "image.rows" or "image.columns" when a side is longer than the position table;
  // RESOURCE_EXHAUSTED when the device is full.
  absl::StatusOr<SoftEmbeddings> EmbedImage(absl::Span<const uint8_t> tiles, int rows, int columns,
                                            PixelScale scale = PixelScale::kImage);

  // frames: [tokens, samples_per_token] in host memory, nominally -1 to 1, zero behind the end.
  absl::StatusOr<SoftEmbeddings> EmbedAudio(absl::Span<const float> frames);

  void set_tap(StageTap tap) { tap_ = std::move(tap); }

 private:
  // The levels of `count` tiles as numbers, into tile: [count, tile_values].
  absl::Status ScalePixels(absl::Span<const uint8_t> tiles, PixelScale scale, TensorView tile);
  void Tap(absl::string_view stage, TensorView value) {
    if (tap_) tap_(stage, -1, value);
  }

  const ModelConfig& config_;
  const ModelWeights& weights_;
  Kernels& kernels_;
  const DType activations_;
  StageTap tap_;
};

}  // namespace cleave
