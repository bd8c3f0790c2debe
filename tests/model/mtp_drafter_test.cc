#include "model/mtp_drafter.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_replace.h"
#include "runtime/base/file.h"
#include "tests/support/model_runner.h"
#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

using testing::ModelRunner;

const std::string kCheckpoints = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints";
const std::string kTarget = kCheckpoints + "/tiny";
const std::string kDrafter = kCheckpoints + "/tiny_assistant";

TEST(DrafterConfigTest, ReadsTheShape) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig target, ModelConfig::Load(kTarget));
  ASSERT_OK_AND_ASSIGN(const DrafterConfig config, DrafterConfig::Load(kDrafter, target));
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.num_layers(), 4);
  EXPECT_EQ(config.layers[3].kind, KvKind::kFull);
  EXPECT_EQ(config.layers[3].head_dim, target.layers[5].head_dim);
}

// A drafter reads the target's pages and feeds on its hidden states, so it must be made for it.
TEST(DrafterConfigTest, RefusesOneThatDoesNotFit) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig target, ModelConfig::Load(kTarget));
  ASSERT_OK_AND_ASSIGN(const std::string json, ReadFile(kDrafter + "/config.json"));
  const std::string folder =
      (std::filesystem::path(::testing::TempDir()) / "cleave_drafter_config").string();
  std::filesystem::create_directories(folder);
  const std::pair<const char*, const char*> changes[] = {
      {"\"backbone_hidden_size\": 64", "\"backbone_hidden_size\": 96"},
      {"\"vocab_size\": 1024", "\"vocab_size\": 1000"},
      {"\"sliding_window\": 32", "\"sliding_window\": 16"},
      {"\"global_head_dim\": 32", "\"global_head_dim\": 64"},
      {"\"rope_theta\": 1000000.0", "\"rope_theta\": 500000.0"},
      {"\"num_kv_shared_layers\": 4", "\"num_kv_shared_layers\": 0"},
      {"gemma4_unified_assistant", "gemma4_unified"}};
  for (const auto& [from, to] : changes) {
    const std::string changed = absl::StrReplaceAll(json, {{from, to}});
    ASSERT_NE(changed, json) << from;
    std::ofstream(folder + "/config.json") << changed;
    const absl::Status status = DrafterConfig::Load(folder, target).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << to;
    EXPECT_NE(status.message().find(folder), absl::string_view::npos) << status;
  }
}

// Drafting for several sequences at a time gives each the same bits as drafting for it alone.
TEST(MtpDrafterTest, SequencesDoNotInfluenceEachOther) {
  std::vector<KernelOptions> backends{{.backend = "reference"}};
  for (const std::string& isa : SupportedCpuIsas()) backends.push_back({.isa = isa});
  for (const KernelOptions& backend : backends) {
    ASSERT_OK_AND_ASSIGN(const auto runner, ModelRunner::Load(kTarget, {.kernels = backend}));
    ASSERT_OK_AND_ASSIGN(const auto drafter,
                         MtpDrafter::Load(kDrafter, runner->config(), runner->weights(),
                                          runner->kernels(), {.rows_max = 3}));
    std::vector<int32_t> ids(100);
    for (int i = 0; i < 100; ++i) ids[static_cast<size_t>(i)] = 300 + i * 37 % 401;
    runner->Forward(ids, {}, true);
    // Three places in one sequence stand in for three sequences.
    const std::vector<int64_t> verified{100, 41, 7};
    const auto step = [&](absl::Span<const int64_t> places) {
      std::vector<float> previous;
      for (const int64_t n : places) {
        for (int i = 0; i < 64; ++i) previous.push_back(static_cast<float>((n * 7 + i) % 13) - 6);
      }
      const int64_t rows = static_cast<int64_t>(places.size());
      const TensorView view{previous.data(), DType::kFloat32, {}, rows, 64, 64};
      const std::vector<int32_t> newest(places.size(), 400);
      drafter->Step(runner->PrepareDrafts(places, newest), view, runner->kv());
      return runner->Fetch(drafter->logits()).values;
    };
    std::vector<float> alone;
    for (const int64_t& n : verified) {
      const std::vector<float> logits = step(absl::MakeConstSpan(&n, 1));
      alone.insert(alone.end(), logits.begin(), logits.end());
    }
    EXPECT_EQ(alone, step(verified)) << backend.backend << " " << backend.isa;
  }
}

}  // namespace
}  // namespace cleave
