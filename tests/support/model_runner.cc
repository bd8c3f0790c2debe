#include "tests/support/model_runner.h"

#include <algorithm>
#include <utility>

#include "model/mtp_drafter.h"
#include "runtime/base/bfloat16.h"
#include "runtime/base/status.h"

namespace cleave::testing {
namespace {

// Of one step: drafts of several places at a time.
constexpr int64_t kSequencesMax = 4;

}  // namespace

absl::StatusOr<std::unique_ptr<ModelRunner>> ModelRunner::Load(const std::string& folder,
                                                               const RunnerOptions& options) {
  std::unique_ptr<ModelRunner> runner(new ModelRunner);
  runner->options_ = options;
  runner->device_ = CreateHostDevice();
  ASSIGN_OR_RETURN(runner->kernels_, CreateKernels(*runner->device_, options.kernels));
  Kernels& kernels = *runner->kernels_;
  ASSIGN_OR_RETURN(runner->config_, ModelConfig::Load(folder));
  const ModelConfig& config = runner->config_;
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  ASSIGN_OR_RETURN(runner->weights_, ModelWeights::Load(checkpoint, config, kernels));
  ASSIGN_OR_RETURN(const KvLayout layout, KvLayout::Create(config, options.kv));
  const int64_t pages =
      (options.positions_max + options.kv.page_tokens - 1) / options.kv.page_tokens;
  ASSIGN_OR_RETURN(KvMemory kv, KvMemory::Create(layout, {pages, pages}, *runner->device_));
  runner->kv_ = std::make_unique<KvMemory>(std::move(kv));
  ASSIGN_OR_RETURN(runner->transformer_,
                   Transformer::Create(config, runner->weights_, kernels,
                                       {.activations = options.activations,
                                        .rows_max = options.positions_max,
                                        .outputs_max = options.positions_max}));
  runner->embedder_ =
      std::make_unique<MediaEmbedder>(config, runner->weights_, kernels, options.activations);
  ASSIGN_OR_RETURN(runner->plan_, kernels.CreatePlan({.rows = options.positions_max,
                                                      .outputs = options.positions_max,
                                                      .sequences = kSequencesMax,
                                                      .pages = 2 * pages * kSequencesMax}));
  // Not in order, so that a mix-up of ordinals and ids shows.
  for (int64_t i = 0; i < pages; ++i) {
    runner->pages_.push_back(PageId{static_cast<int32_t>(pages - 1 - i)});
  }
  runner->Reset();
  return runner;
}

void ModelRunner::Reset() {
  positions_ = 0;
  for (const PageId page : pages_) {
    kv_->Poison(KvKind::kSliding, page);
    kv_->Poison(KvKind::kFull, page);
  }
}

const BatchPlan& ModelRunner::Prepare(absl::Span<const int32_t> token_ids,
                                      absl::Span<const RunnerMedia> media, bool all_outputs) {
  const int64_t rows = static_cast<int64_t>(token_ids.size());
  std::vector<int32_t> ids(token_ids.begin(), token_ids.end());
  std::vector<int64_t> visible_end;
  std::vector<int32_t> outputs;
  for (int64_t r = 0; r < rows; ++r) {
    int32_t& id = ids[static_cast<size_t>(r)];
    if (config_.tokens.IsSoft(id)) id = config_.tokens.pad;
    visible_end.push_back(positions_ + r + 1);
    if (all_outputs || r + 1 == rows) outputs.push_back(static_cast<int32_t>(r));
  }
  for (const RunnerMedia& item : media) {
    const int64_t first = item.first_position - positions_;
    CHECK(first >= 0 && first + item.embeddings.tokens() <= rows);
    for (int64_t i = 0; item.is_picture && i < item.embeddings.tokens(); ++i) {
      visible_end[static_cast<size_t>(first + i)] = item.first_position + item.embeddings.tokens();
    }
  }
  const BatchSequence sequence{.first_row = 0,
                               .row_count = rows,
                               .first_position = positions_,
                               .full_pages = pages_,
                               .sliding_pages = pages_,
                               .sliding_begin = 0};
  kernels_->Fill({.token_ids = ids,
                  .sliding_visible_end = visible_end,
                  .output_rows = outputs,
                  .sequences = absl::MakeConstSpan(&sequence, 1)},
                 *plan_);
  return *plan_;
}

const BatchPlan& ModelRunner::PrepareDrafts(absl::Span<const int64_t> verified,
                                            absl::Span<const int32_t> newest_tokens) {
  std::vector<BatchSequence> sequences;
  for (const int64_t n : verified) {
    sequences.push_back({.first_row = static_cast<int64_t>(sequences.size()),
                         .row_count = 1,
                         .first_position = n + kDraftPositionBehindVerified,
                         .full_pages = pages_,
                         .sliding_pages = pages_,
                         .sliding_begin = 0});
  }
  kernels_->Fill({.token_ids = newest_tokens.first(verified.size()),
                  .sliding_visible_end = verified,
                  .full_visible_end = verified,
                  .sequences = sequences},
                 *plan_);
  return *plan_;
}

void ModelRunner::Truncate(int64_t positions) {
  CHECK(positions <= positions_);
  positions_ = positions;
}

std::vector<Transformer::SoftRows> ModelRunner::SoftRowsOf(
    absl::Span<const RunnerMedia> media) const {
  std::vector<Transformer::SoftRows> rows;
  for (const RunnerMedia& item : media) {
    rows.push_back({item.first_position - positions_, item.embeddings.view()});
  }
  return rows;
}

void ModelRunner::Forward(absl::Span<const int32_t> token_ids, absl::Span<const RunnerMedia> media,
                          bool all_outputs) {
  const BatchPlan& plan = Prepare(token_ids, media, all_outputs);
  transformer_->Forward(plan, SoftRowsOf(media), *kv_, nullptr);
  positions_ += plan.rows();
}

HostRows ModelRunner::Fetch(TensorView view) {
  HostRows out{.rows = view.rows, .cols = view.cols, .values = {}};
  std::vector<char> row(view.row_bytes());
  for (int64_t r = 0; r < view.rows; ++r) {
    kernels_->stream().CopyToHost(row.data(), view.Rows(r, 1).data, row.size());
    kernels_->stream().WaitForAll();
    for (int64_t c = 0; c < view.cols; ++c) {
      out.values.push_back(view.dtype == DType::kBFloat16
                               ? ToFloat(reinterpret_cast<const BFloat16*>(row.data())[c])
                               : reinterpret_cast<const float*>(row.data())[c]);
    }
  }
  return out;
}

void ModelRunner::Put(absl::Span<const float> values, TensorView view) {
  CHECK(static_cast<int64_t>(values.size()) == view.rows * view.cols);
  const TensorView source{.data = const_cast<float*>(values.data()),
                          .dtype = DType::kFloat32,
                          .device = device_->id(),
                          .rows = view.rows,
                          .cols = view.cols,
                          .row_stride = view.cols};
  kernels_->Convert(source, view);
}

std::vector<float> ModelRunner::FetchKv(int layer, bool value, int64_t first, int64_t end) {
  const KvLayerView view =
      kv_->LayerView(layer, config_, weights_.layers[static_cast<size_t>(layer)]);
  std::vector<float> out;
  for (int head = 0; head < view.kv_heads; ++head) {
    for (int64_t position = first; position < end; ++position) {
      const PageId page = pages_[static_cast<size_t>(position / view.page_tokens)];
      const char* bytes = static_cast<const char*>(view.data) +
                          static_cast<int64_t>(page) * view.page_bytes + view.layer_offset;
      const auto element = [&](int64_t i) {
        return view.dtype == DType::kBFloat16 ? ToFloat(reinterpret_cast<const BFloat16*>(bytes)[i])
                                              : reinterpret_cast<const float*>(bytes)[i];
      };
      const int64_t slot = int64_t{head} * view.page_tokens + position % view.page_tokens;
      const int half = view.head_dim / 2, rotated = view.rotated_dims / 2;
      for (int i = 0; i < view.head_dim; ++i) {
        const int64_t of_value = view.value_begin() + slot * view.head_dim + i;
        const int64_t of_key = view.key_begin() + slot * view.key_dims();
        if (value) {
          out.push_back(element(of_value));
        } else if (!view.compact()) {
          out.push_back(element(of_key + i));
        } else if (i % half < rotated) {
          out.push_back(element(of_key + i % half + (i < half ? 0 : rotated)));
        } else {  // V stands in for it
          out.push_back(element(of_value) * static_cast<const float*>(view.key_scale.data)[i]);
        }
      }
    }
  }
  return out;
}

int32_t ModelRunner::ArgMax(absl::Span<const float> logits) const {
  int32_t best = -1;
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id) {
    const auto& suppressed = config_.generation.suppressed_ids;
    if (std::find(suppressed.begin(), suppressed.end(), id) != suppressed.end()) continue;
    if (best < 0 || logits[static_cast<size_t>(id)] > logits[static_cast<size_t>(best)]) best = id;
  }
  return best;
}

}  // namespace cleave::testing
