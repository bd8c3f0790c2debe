#include "model/mtp_drafter.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/activation_arena.h"
#include "model/checkpoint.h"
#include "model/weight_loader.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

int LastLayer(const TextConfig& config, KvKind kind) {
  int last = 0;
  for (int i = 0; i < config.num_layers(); ++i) {
    if (config.layers[static_cast<size_t>(i)].kind == kind) last = i;
  }
  return last;
}

template <class Number>
absl::Status MustEqual(absl::string_view file, absl::string_view what, Number drafter,
                       Number target) {
  if (drafter == target) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(file, ": ", what, " is ", drafter, ", the target's is ", target));
}

absl::Status CheckFits(const DrafterConfig& drafter, int backbone, const ModelConfig& target,
                       absl::string_view file) {
  RETURN_IF_ERROR(MustEqual(file, "backbone_hidden_size", backbone, target.hidden_size));
  RETURN_IF_ERROR(MustEqual(file, "vocab_size", drafter.vocabulary_size, target.vocabulary_size));
  RETURN_IF_ERROR(MustEqual(file, "sliding_window", drafter.sliding_window, target.sliding_window));
  for (const KvKind kind : {KvKind::kSliding, KvKind::kFull}) {
    const auto shape = [&](const TextConfig& config) {
      return config.layers[static_cast<size_t>(LastLayer(config, kind))];
    };
    const std::string name = kind == KvKind::kFull ? "full" : "sliding";
    RETURN_IF_ERROR(MustEqual(file, name + " layers' head_dim", shape(drafter).head_dim,
                              shape(target).head_dim));
    RETURN_IF_ERROR(MustEqual(file, name + " layers' KV heads", shape(drafter).kv_heads,
                              shape(target).kv_heads));
    RETURN_IF_ERROR(MustEqual(file, name + " layers' rope_theta", drafter.rope(kind).theta,
                              target.rope(kind).theta));
    RETURN_IF_ERROR(MustEqual(file, name + " layers' partial_rotary_factor",
                              drafter.rope(kind).rotary_fraction,
                              target.rope(kind).rotary_fraction));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DrafterConfig> DrafterConfig::Load(const std::string& folder,
                                                  const ModelConfig& target) {
  const std::string file = folder + "/config.json";
  ASSIGN_OR_RETURN(const std::string json, ReadFile(file));
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(json, file));
  const JsonValue root = document.root();
  ASSIGN_OR_RETURN(const std::string model_type, root.String("model_type"));
  if (model_type != "gemma4_unified_assistant") {
    return Unsupported(root, "model_type", "gemma4_unified_assistant", model_type);
  }
  if (root.Has("use_ordered_embeddings")) {
    ASSIGN_OR_RETURN(const bool ordered, root.Bool("use_ordered_embeddings"));
    if (ordered) return Unsupported(root, "use_ordered_embeddings", "false", "true");
  }
  DrafterConfig config{};
  ASSIGN_OR_RETURN(const JsonValue text, root.Object("text_config"));
  RETURN_IF_ERROR(ParseTextConfig(text, TextRole::kDrafter, config));
  ASSIGN_OR_RETURN(const int backbone, ReadSize(root, "backbone_hidden_size"));
  RETURN_IF_ERROR(CheckFits(config, backbone, target, file));
  return config;
}

absl::StatusOr<std::unique_ptr<MtpDrafter>> MtpDrafter::Load(const std::string& folder,
                                                             const ModelConfig& target,
                                                             const ModelWeights& target_weights,
                                                             Kernels& kernels,
                                                             const Options& options) {
  ASSIGN_OR_RETURN(DrafterConfig config, DrafterConfig::Load(folder, target));
  std::unique_ptr<MtpDrafter> drafter(
      new MtpDrafter(std::move(config), target, target_weights, kernels));
  RETURN_IF_ERROR(drafter->LoadWeights(folder));
  RETURN_IF_ERROR(drafter->AllocateActivations(options));
  return drafter;
}

MtpDrafter::MtpDrafter(DrafterConfig config, const ModelConfig& target,
                       const ModelWeights& target_weights, Kernels& kernels)
    : config_(std::move(config)),
      target_(target),
      target_weights_(target_weights),
      kernels_(kernels),
      last_sliding_(LastLayer(target, KvKind::kSliding)),
      last_full_(LastLayer(target, KvKind::kFull)) {}

absl::Status MtpDrafter::LoadWeights(const std::string& folder) {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  WeightLoader loader(checkpoint, kernels_);
  const int64_t d = config_.hidden_size, target_d = target_.hidden_size;
  ASSIGN_OR_RETURN(pre_projection_, loader.Linear("pre_projection.weight", d, 2 * target_d));
  ASSIGN_OR_RETURN(post_projection_, loader.Linear("post_projection.weight", target_d, d));
  ASSIGN_OR_RETURN(output_table_,
                   loader.Linear("model.embed_tokens.weight", config_.vocabulary_size, d));
  ASSIGN_OR_RETURN(final_norm_, loader.Vector("model.norm.weight", d));
  for (const LayerConfig& shape : config_.layers) {
    const std::string prefix = absl::StrCat("model.layers.", layer_weights_.size(), ".");
    ASSIGN_OR_RETURN(LayerWeights layer, loader.Layer(prefix, config_, shape, TextRole::kDrafter));
    layer_weights_.push_back(std::move(layer));
  }
  device_bytes_ = loader.device_bytes();
  return absl::OkStatus();
}

absl::Status MtpDrafter::AllocateActivations(const Options& options) {
  const auto [dtype, rows] = options;
  ActivationArena arena;
  arena.Take(input_, dtype, rows, int64_t{2} * target_.hidden_size);
  arena.Take(hidden_, dtype, rows, config_.hidden_size);
  arena.Take(projected_, dtype, rows, target_.hidden_size);
  arena.Take(logits_, DType::kFloat32, rows, config_.vocabulary_size);
  ASSIGN_OR_RETURN(memory_, arena.Allocate(kernels_.device()));
  ASSIGN_OR_RETURN(layers_, LayerRunner::Create(config_, kernels_, dtype, rows));
  return absl::OkStatus();
}

void MtpDrafter::Step(const BatchPlan& plan, TensorView previous, const KvMemory& kv) {
  rows_ = plan.rows();
  const TensorView input = input_.Rows(0, rows_), hidden = hidden_.Rows(0, rows_);
  const int64_t target_d = target_.hidden_size;
  kernels_.EmbedTokens(plan, *target_weights_.token_table, target_weights_.embedding_multiplier,
                       input.Columns(0, target_d));
  kernels_.Convert(previous, input.Columns(target_d, target_d));
  Tap("x", input);
  kernels_.Linear(input, *pre_projection_, {}, hidden);
  Tap("y", hidden);
  for (int layer = 0; layer < config_.num_layers(); ++layer) {
    const bool full = config_.layers[static_cast<size_t>(layer)].kind == KvKind::kFull;
    const int read = full ? last_full_ : last_sliding_;
    const LayerWeights& read_weights = target_weights_.layers[static_cast<size_t>(read)];
    layers_->Run(layer, layer_weights_[static_cast<size_t>(layer)], plan,
                 kv.LayerView(read, target_, read_weights), hidden);
  }
  kernels_.RmsNorm(hidden, final_norm_.view(), config_.rms_epsilon, hidden);
  Tap("normed", hidden);
  kernels_.Linear(hidden, *output_table_, {}, logits());
  kernels_.Linear(hidden, *post_projection_, {}, projected());
}

}  // namespace cleave
