#include "model/media_embedder.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

TEST(MediaEmbedderTest, APictureBeyondTheTableIsATypedError) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config,
                       ModelConfig::Load(CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny"));
  const std::unique_ptr<Device> device = CreateHostDevice();
  const std::unique_ptr<Kernels> kernels = *CreateKernels(*device, {.backend = "reference"});
  const ModelWeights weights;  // not looked at
  MediaEmbedder embedder(config, weights, *kernels, DType::kFloat32);
  const std::vector<uint8_t> tiles(size_t{1121} * 6912);
  const auto detail = GetErrorDetail(embedder.EmbedImage(tiles, 1, 1121).status());
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, Reason::kMediaLimit);
  EXPECT_EQ(detail->field, "image.columns");
  EXPECT_EQ(detail->limit, "at most 1120 tiles");
  EXPECT_EQ(detail->actual, "1121 tiles");
}

}  // namespace
}  // namespace cleave
