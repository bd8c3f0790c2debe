#include "tests/golden/case_media.h"

#include <utility>

#include "tests/golden/tensor_compare.h"

namespace cleave::golden {
namespace {

// Soft tokens of one kind that follow each other are one picture or sound.
std::vector<std::pair<int64_t, int64_t>> SoftRuns(const std::vector<int32_t>& types, bool audio) {
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == 0 || (types[i] == 3) != audio) continue;
    const int64_t position = static_cast<int64_t>(i);
    if (!runs.empty() && runs.back().first + runs.back().second == position) {
      ++runs.back().second;
    } else {
      runs.emplace_back(position, 1);
    }
  }
  return runs;
}

}  // namespace

std::vector<testing::RunnerMedia> EmbedCaseMedia(const SafetensorsFile& inputs,
                                                 testing::ModelRunner& runner) {
  std::vector<testing::RunnerMedia> media;
  const std::vector<int32_t> types = Ints(*inputs.Find("mm_token_type_ids"));
  if (const StoredTensor* tiles = inputs.Find("tiles")) {
    const std::vector<int32_t> counts = Ints(*inputs.Find("tiles_per_picture"));
    const std::vector<int32_t> positions = Ints(*inputs.Find("tile_positions"));
    const size_t tile_bytes = static_cast<size_t>(runner.config().vision.tile_values());
    const auto runs = SoftRuns(types, false);
    CHECK(runs.size() == counts.size());
    size_t first = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      const size_t count = static_cast<size_t>(counts[i]);
      const int columns = positions[2 * (first + count - 1)] + 1;
      const int rows = positions[2 * (first + count - 1) + 1] + 1;
      constexpr int32_t kVideoType = 2;
      const bool is_frame = types[static_cast<size_t>(runs[i].first)] == kVideoType;
      auto soft = runner.embedder().EmbedImage(
          tiles->bytes.subspan(first * tile_bytes, count * tile_bytes), rows, columns,
          is_frame ? PixelScale::kVideoFrame : PixelScale::kImage);
      CHECK(soft.ok() && runs[i].second == soft->tokens());
      media.push_back({runs[i].first, true, *std::move(soft)});
      first += count;
    }
  }
  if (const StoredTensor* frames = inputs.Find("audio_frames")) {
    const std::vector<int32_t> counts = Ints(*inputs.Find("frames_per_audio"));
    const std::vector<float> samples = Floats(*frames);
    const size_t frame = static_cast<size_t>(runner.config().audio.samples_per_token);
    const auto runs = SoftRuns(types, true);
    size_t first = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      const size_t count = static_cast<size_t>(counts[i]);
      auto soft = runner.embedder().EmbedAudio(
          absl::MakeConstSpan(samples).subspan(first * frame, count * frame));
      CHECK(soft.ok() && runs[i].second == soft->tokens());
      media.push_back({runs[i].first, false, *std::move(soft)});
      first += count;
    }
  }
  return media;
}

}  // namespace cleave::golden
