#include "engine/model_host.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/checkpoint.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

std::string MebiBytes(int64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelHost>> ModelHost::Load(const ModelHostOptions& options) {
  std::unique_ptr<ModelHost> host(new ModelHost);
  RETURN_IF_ERROR(host->LoadModel(options));
  RETURN_IF_ERROR(host->SizePools(options));
  RETURN_IF_ERROR(host->CreateStepMemory(options));
  RETURN_IF_ERROR(host->LoadDrafter(options));
  return host;
}

absl::Status ModelHost::LoadModel(const ModelHostOptions& options) {
  device_ = CreateHostDevice();
  ASSIGN_OR_RETURN(kernels_, CreateKernels(*device_, options.kernels));
  ASSIGN_OR_RETURN(config_, ModelConfig::Load(options.folder));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(options.folder));
  ASSIGN_OR_RETURN(weights_, ModelWeights::Load(checkpoint, config_, *kernels_));
  model_name_ = std::filesystem::weakly_canonical(options.folder).filename();
  weights_fingerprint_ = checkpoint.Fingerprint();
  activations_ = options.activations;
  context_tokens_max_ = std::min(options.context_tokens_max, config_.positions_max);
  return absl::OkStatus();
}

ModelHost::SequencePages ModelHost::PagesOfOne(const ModelHostOptions& options) const {
  const int64_t full = CeilDivide(context_tokens_max_, options.kv.page_tokens);
  const int sliding = SlidingPagesMax(
      config_.sliding_window, static_cast<int>(options.step_rows_max), options.kv.page_tokens);
  return {.full = full, .sliding = std::min<int64_t>(full, sliding)};
}

// The pools keep the proportion that a sequence of the whole context has, so that neither runs dry
// long before the other.
absl::Status ModelHost::SizePools(const ModelHostOptions& options) {
  ASSIGN_OR_RETURN(const KvLayout layout, KvLayout::Create(config_, options.kv));
  const auto [full, sliding] = PagesOfOne(options);
  const int64_t sequence_bytes = full * layout.kind(KvKind::kFull).page_bytes +
                                 sliding * layout.kind(KvKind::kSliding).page_bytes;
  if (sequence_bytes > options.kv_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("one sequence of ", context_tokens_max_, " tokens needs ",
                     MebiBytes(sequence_bytes), " of KV memory, ", MebiBytes(options.kv_bytes_max),
                     " are given: raise --kv-memory-mib or lower --context-tokens"));
  }
  // More pages than all sequences of a step can use would only hold beginnings of earlier prompts.
  const double share =
      std::min(static_cast<double>(options.kv_bytes_max) / static_cast<double>(sequence_bytes),
               static_cast<double>(options.step_sequences_max));
  const auto pages = [&](int64_t of_one) {
    return static_cast<int64_t>(share * static_cast<double>(of_one));
  };
  ASSIGN_OR_RETURN(KvMemory memory,
                   KvMemory::Create(layout, {pages(sliding), pages(full)}, *device_));
  kv_memory_ = std::make_unique<KvMemory>(std::move(memory));
  const auto allocator = [&](KvKind kind) {
    PageAllocator::FreeHook poison;
    if (options.poison_free_pages) {
      poison = [this, kind](PageId page) { kv_memory_->Poison(kind, page); };
    }
    return std::make_unique<PageAllocator>(static_cast<int>(kv_memory_->pages(kind)), poison);
  };
  full_pages_ = allocator(KvKind::kFull);
  sliding_pages_ = allocator(KvKind::kSliding);
  return absl::OkStatus();
}

// Sequences may share pages, so that together they name more than there are.
absl::Status ModelHost::CreateStepMemory(const ModelHostOptions& options) {
  limits_ = {.rows = options.step_rows_max,
             .outputs = options.step_outputs_max,
             .sequences = options.step_sequences_max,
             .pages = options.step_sequences_max * PagesOfOne(options).sum()};
  ASSIGN_OR_RETURN(plan_, kernels_->CreatePlan(limits_));
  ASSIGN_OR_RETURN(transformer_, Transformer::Create(config_, weights_, *kernels_,
                                                     {.activations = options.activations,
                                                      .rows_max = limits_.rows,
                                                      .outputs_max = limits_.outputs}));
  embedder_ = std::make_unique<MediaEmbedder>(config_, weights_, *kernels_, options.activations);
  sampler_ = std::make_unique<Sampler>(config_.vocabulary_size, config_.generation.suppressed_ids);
  logits_.resize(static_cast<size_t>(config_.vocabulary_size));
  return absl::OkStatus();
}

absl::Status ModelHost::LoadDrafter(const ModelHostOptions& options) {
  if (options.drafter_folder.empty()) return absl::OkStatus();
  const int64_t rows = limits_.sequences;
  ASSIGN_OR_RETURN(drafter_,
                   MtpDrafter::Load(options.drafter_folder, config_, weights_, *kernels_,
                                    {.activations = options.activations, .rows_max = rows}));
  ASSIGN_OR_RETURN(draft_plan_,
                   kernels_->CreatePlan(
                       {.rows = rows, .outputs = 0, .sequences = rows, .pages = limits_.pages}));
  return absl::OkStatus();
}

absl::Span<float> ModelHost::FetchRow(TensorView row) {
  kernels_->stream().CopyToHost(logits_.data(), row.data, row.row_bytes());
  kernels_->stream().WaitForAll();
  return absl::MakeSpan(logits_);
}

void ModelHost::CopyPages(const BlockTable::SharedPrefix& copies) {
  const auto copy = [this](KvKind kind, const std::optional<PageCopy>& page) {
    if (page) kv_memory_->CopyPage(kind, page->from, page->to, kernels_->stream());
  };
  copy(KvKind::kFull, copies.full);
  copy(KvKind::kSliding, copies.sliding);
}

std::string ModelHost::FetchFinalHidden(int64_t row) {
  const TensorView view = transformer_->final_hidden().Rows(row, 1);
  std::string bytes(view.row_bytes(), '\0');
  kernels_->stream().CopyToHost(bytes.data(), view.data, bytes.size());
  kernels_->stream().WaitForAll();
  return bytes;
}

std::string ModelHost::numerics_fingerprint() const {
  return absl::StrCat(kernels_->fingerprint(), " activations ", DTypeName(activations_),
                      layout().kind(KvKind::kFull).rotated_dims > 0 ? " kv compact " : " kv plain ",
                      DTypeName(layout().dtype()));
}

std::string ModelHost::MemoryTable() const {
  const auto pool = [&](KvKind kind) {
    return kv_memory_->pages(kind) * layout().kind(kind).page_bytes;
  };
  const int64_t drafter_bytes =
      drafter_ ? drafter_->device_bytes() + drafter_->activation_bytes() : 0;
  return absl::StrFormat(
      "kernels %s on %d threads, weights %s, activations %s, drafter %s, KV sliding %d pages %s, "
      "KV full %d pages %s, page %d tokens",
      kernels_->fingerprint(), kernels_->threads(), MebiBytes(weights_.device_bytes),
      MebiBytes(transformer_->activation_bytes()), drafter_ ? MebiBytes(drafter_bytes) : "none",
      kv_memory_->pages(KvKind::kSliding), MebiBytes(pool(KvKind::kSliding)),
      kv_memory_->pages(KvKind::kFull), MebiBytes(pool(KvKind::kFull)), layout().page_tokens());
}

}  // namespace cleave
