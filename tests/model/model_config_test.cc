#include "model/model_config.h"

#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "model/kv_layout.h"
#include "model/transformer.h"
#include "runtime/base/file.h"
#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

using testing::Fails;

const std::string kFolder = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny";

std::string Read(const std::string& name) { return *ReadFile(kFolder + "/" + name); }

absl::StatusOr<ModelConfig> ParseWith(const std::string& config) {
  return ModelConfig::Parse(config, Read("generation_config.json"), "tiny");
}

TEST(ModelConfigTest, ReadsTheCheckpointOfTheRepository) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::Load(kFolder));
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.num_layers(), 6);
  EXPECT_EQ(config.layers[0].kind, KvKind::kSliding);
  EXPECT_EQ(config.layers[5].kind, KvKind::kFull);
  EXPECT_EQ(config.layers[5].kv_heads, 1);
  EXPECT_EQ(config.layers[5].head_dim, 32);
  EXPECT_EQ(config.sliding_window, 32);
  EXPECT_EQ(config.vision.tile_values(), 6912);
  EXPECT_EQ(config.audio.samples_per_token, 640);
  EXPECT_EQ(config.generation.stop_ids.size(), 3u);
  EXPECT_EQ(config.generation.suppressed_ids.size(), 2u);
}

TEST(ModelConfigTest, BothSpellingsMeanTheSame) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig flat, ParseWith(Read("config.json")));
  ASSERT_OK_AND_ASSIGN(const ModelConfig per_layer, ParseWith(Read("config.per_layer.json")));
  ASSERT_EQ(flat.num_layers(), per_layer.num_layers());
  for (size_t i = 0; i < flat.layers.size(); ++i) {
    EXPECT_EQ(flat.layers[i].kind, per_layer.layers[i].kind);
    EXPECT_EQ(flat.layers[i].kv_heads, per_layer.layers[i].kv_heads);
    EXPECT_EQ(flat.layers[i].head_dim, per_layer.layers[i].head_dim);
  }
  EXPECT_EQ(flat.tokens.video_soft, per_layer.tokens.video_soft);
  EXPECT_EQ(flat.vision.embedding_dim, per_layer.vision.embedding_dim);
}

TEST(ModelConfigTest, RefusesOtherVariantsByName) {
  const std::string config = Read("config.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    const std::string changed = absl::StrReplaceAll(config, {{from, to}});
    EXPECT_NE(changed, config) << from;
    return ParseWith(changed);
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(with("\"attention_k_eq_v\": true", "\"attention_k_eq_v\": false"),
              Fails(kInvalid, "attention_k_eq_v"));
  EXPECT_THAT(with("gelu_pytorch_tanh", "relu"), Fails(kInvalid, "hidden_activation"));
  EXPECT_THAT(with("\"model_type\": \"gemma4_unified\"", "\"model_type\": \"gemma3\""),
              Fails(kInvalid, "model_type"));
  EXPECT_THAT(with("\"hidden_size\": 64", "\"hidden_size\": -1"), Fails(kInvalid, "hidden_size"));
  EXPECT_THAT(with("\"sliding_window\": 32", "\"sliding_window\": \"x\""),
              Fails(kInvalid, "sliding_window"));
  EXPECT_THAT(with("\"num_attention_heads\": 4", "\"num_attention_heads\": 3"),
              Fails(kInvalid, "query heads"));
  EXPECT_THAT(with("\"pooling_kernel_size\": 3", "\"pooling_kernel_size\": 2"),
              Fails(kInvalid, "pooling_kernel_size is 32, supported is 48"));
  EXPECT_THAT(with("\"audio_embed_dim\": 640", "\"audio_embed_dim\": 320"),
              Fails(kInvalid, "audio_embed_dim is 320, supported is 640"));
  EXPECT_THAT(with("\"rope_type\": \"default\"",
                   "\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5"),
              Fails(kInvalid, "sliding_attention partial_rotary_factor is 0.5, supported is 1"));
  EXPECT_THAT(ParseWith("{"), Fails(kInvalid, "not JSON"));
}

// The reference computes the number of rotating pairs in double: the float nearest to 0.7 would
// give one less.
TEST(ModelConfigTest, ARotaryFractionKeepsItsPrecision) {
  ASSERT_OK_AND_ASSIGN(
      const ModelConfig config,
      ParseWith(absl::StrReplaceAll(Read("config.json"), {{"\"partial_rotary_factor\": 0.25",
                                                           "\"partial_rotary_factor\": 0.7"}})));
  const std::vector<float> frequencies = InverseFrequencies(config.full_rope, 20);
  EXPECT_GT(frequencies[6], 0.0f);
  EXPECT_EQ(frequencies[7], 0.0f);
}

TEST(ModelConfigTest, AWrongFolderIsNotFound) {
  EXPECT_THAT(ModelConfig::Load("/nowhere"),
              Fails(absl::StatusCode::kNotFound, "/nowhere/config.json"));
}

TEST(KvLayoutTest, SizesOfAPage) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::Load(kFolder));
  ASSERT_OK_AND_ASSIGN(const KvLayout layout, KvLayout::Create(config, {.page_tokens = 16}));
  // K and V, heads, tokens, head_dim, two bytes.
  EXPECT_EQ(layout.kind(KvKind::kSliding).layer_bytes, 2 * 2 * 16 * 16 * 2);
  // V, and the quarter of K that rotates.
  EXPECT_EQ(layout.kind(KvKind::kFull).layer_bytes, 1 * 16 * (32 + 8) * 2);
  ASSERT_OK_AND_ASSIGN(const KvLayout plain,
                       KvLayout::Create(config, {.page_tokens = 16, .form = KvForm::kPlain}));
  EXPECT_EQ(plain.kind(KvKind::kFull).layer_bytes, 2 * 1 * 16 * 32 * 2);
  EXPECT_EQ(layout.kind(KvKind::kSliding).page_bytes,
            5 * layout.kind(KvKind::kSliding).layer_bytes);
  EXPECT_EQ(layout.index_in_kind(4), 4);
  EXPECT_EQ(layout.index_in_kind(5), 0);
}

// A sliding page of the 12B is 20 MiB, a full one 1 MiB in the plain form and 640 KiB in the
// compact.
TEST(KvLayoutTest, SizesOfTheReleasedModel) {
  ModelConfig config{};
  config.sliding_window = 1024;
  config.full_rope.rotary_fraction = 0.25;
  for (int i = 0; i < 48; ++i) {
    config.layers.push_back(i % 6 == 5 ? LayerConfig{KvKind::kFull, 1, 512}
                                       : LayerConfig{KvKind::kSliding, 8, 256});
  }
  for (const KvForm form : {KvForm::kPlain, KvForm::kCompact}) {
    ASSERT_OK_AND_ASSIGN(const KvLayout layout, KvLayout::Create(config, {.form = form}));
    const int64_t full_page = form == KvForm::kPlain ? 1 << 20 : 640 << 10;
    EXPECT_EQ(layout.kind(KvKind::kSliding).page_bytes, 20 << 20);
    EXPECT_EQ(layout.kind(KvKind::kFull).page_bytes, full_page);
    // 10,000 tokens: 157 full pages, and the sliding pages of positions 8977 to 9999.
    EXPECT_EQ(MakeTransferPlan(layout.shape(), 10'000).total_bytes,
              157 * full_page + int64_t{17} * (20 << 20));
  }
}

TEST(KvLayoutTest, AnythingThatMattersIsInTheDescription) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::Load(kFolder));
  const auto describe = [&](int page_tokens, DType dtype, KvForm form = KvForm::kCompact) {
    return KvLayout::Create(config, {page_tokens, dtype, form})->description();
  };
  EXPECT_EQ(describe(16, DType::kBFloat16), describe(16, DType::kBFloat16));
  EXPECT_NE(describe(16, DType::kBFloat16), describe(32, DType::kBFloat16));
  EXPECT_NE(describe(16, DType::kBFloat16), describe(16, DType::kFloat32));
  EXPECT_NE(describe(16, DType::kBFloat16), describe(16, DType::kBFloat16, KvForm::kPlain));
  EXPECT_FALSE(KvLayout::Create(config, {.page_tokens = 24}).ok());
}

}  // namespace
}  // namespace cleave
